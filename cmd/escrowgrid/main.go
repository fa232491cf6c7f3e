// Command escrowgrid is the whole platform in one binary: the server, its migrations, a
// demonstration, and tools for verification, backups and load tests. Each command has a file of
// its own; this file has the command line and the exit codes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/escrowgrid/escrowgrid/internal/secretflag"
	"github.com/escrowgrid/escrowgrid/internal/verify"
	"github.com/escrowgrid/escrowgrid/internal/visible"
)

// The exit codes, which scripts rely on. A load test has more of them, which say what failed.
const (
	exitOK      = 0
	exitFailure = 1 // the command was understood and failed
	exitUsage   = 2 // the command, a flag or a variable was wrong
	// exitUnsigned is verify's where nothing is wrong but that the newest entries are not signed.
	exitUnsigned = 3
)

func main() {
	keepPrivate()

	// A signal ends the context, and the command then stops in order. os.Exit would skip a defer.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// cli is the command line. A flag's help text is its documentation; the name of its
// variable is shown with it. The commands are in the order in which a newcomer needs them.
type cli struct {
	Serve      serveCommand         `cmd:"" help:"Run the server."`
	Migrate    migrateCommand       `cmd:"" help:"Migrate the database's schema to this version."`
	Demo       demoCommand          `cmd:"" help:"Run a server and show one position's lifecycle, request by request."`
	Verify     verifyCommand        `cmd:"" help:"Rebuild journals and state, and compare them with what is stored and signed."`
	Export     exportCommand        `cmd:"" help:"Write an institution's journal to a file that can be verified elsewhere."`
	Backup     backupCommand        `cmd:"" help:"Copy an SQLite database while a server uses it, and verify the copy."`
	Restore    restoreCommand       `cmd:"" help:"Restore an SQLite database from a backup."`
	Copy       copyCommand          `cmd:"" help:"Copy a database to another, as from SQLite to PostgreSQL, and verify the copy."`
	Import     importCommand        `cmd:"" help:"Import the database of EscrowGrid's prototype."`
	Accept     acceptCommand        `cmd:"" name:"accept-history" help:"Open institutions whose journals have lost entries."`
	Rotate     rotateSecretsCommand `cmd:"" name:"rotate-secrets" help:"Encrypt the secrets in the database with a new key."`
	LoadTest   loadTestCommand      `cmd:"" name:"loadtest" help:"Test how much load a server takes, and that nothing is lost."`
	Health     healthcheckCommand   `cmd:"" name:"healthcheck" help:"Ask the server on this machine whether it is alive."`
	SigningKey signingKeyCommand    `cmd:"" name:"signing-key" help:"Make a key that signs checkpoints of the transparency log."`
	OperatorID operatorIDCommand    `cmd:"" name:"operator-id" help:"Tell under which ids journals name people of the operator."`
	OpenAPI    openAPICommand       `cmd:"" name:"openapi" help:"Print the OpenAPI 3.1 document of the API."`
	Version    versionCommand       `cmd:"" help:"Print the version."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version, and exit."`
}

// description is what the help text begins with.
const description = `EscrowGrid keeps the books of escrow in construction and trade finance: positions, their money, and a journal that proves
itself.

  Try it:                escrowgrid demo
  Run it on SQLite:      escrowgrid serve
  Run it on PostgreSQL:  DATABASE_URL=postgres://… ROOT_API_KEY=… escrowgrid serve --migrate
  Test it under load:    escrowgrid loadtest

Each flag can also be given as the environment variable shown with it; the flag wins. Secrets are not flags, but variables, or
in files: add _FILE to the variable's name and give the path.

Exit codes: 0 success, 1 failure, 2 wrong usage or configuration.`

// output is where commands write: results to stdout, so that a pipe carries nothing else, and the
// rest to stderr.
type output struct{ stdout, stderr io.Writer }

// run runs the program and returns its exit code: exitOK, exitFailure, exitUsage or one of a load
// test's.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	// Commands take a context and an output, which kong passes to their Run by type. kong would
	// exit the process once it has written the help text; run returns instead.
	var commands cli
	var helped bool
	options := append(secretflag.Options(),
		kong.Name("escrowgrid"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.Vars{
			"database_default": "Default " + defaultDatabase + "; a temporary one for demo.",
			"profiles":         profileHelp(),
			"version":          "escrowgrid " + version(),
		},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(output{stdout: stdout, stderr: stderr}),
	)
	parser, err := kong.New(&commands, options...)
	if err != nil {
		fmt.Fprintln(stderr, "escrowgrid:", err)
		return exitFailure
	}

	// Without arguments the program says what it can do.
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if helped {
		return exitOK
	}
	// An error about secrets says what to do; one of kong's only says what is wrong.
	if wrong, ok := errors.AsType[*secretflag.Error](err); ok {
		fmt.Fprintln(stderr, "escrowgrid:", wrong)
		return exitUsage
	}
	if err != nil {
		fmt.Fprintf(stderr, "escrowgrid: %s\nescrowgrid --help lists the commands and their flags.\n", err)
		return exitUsage
	}

	if err := refuseEmpty(parsed.Flags()); err != nil {
		return exitCode(err, stderr)
	}
	// A server tells of them in its log.
	wrong := misspelt(os.Environ(), parsed)
	parsed.Bind(wrong)
	if parsed.Selected().Target.Type() != reflect.TypeFor[serveCommand]() {
		wrong.print(stderr)
	}
	return exitCode(parsed.Run(), stderr)
}

// refuseEmpty returns a usageError for a flag or variable that is set to an empty text. Most
// often another variable that was to fill it is missing, and the default, such as every
// address or a new database, is not what was meant.
func refuseEmpty(flags []*kong.Flag) error {
	for _, flag := range flags {
		if !flag.Set || flag.Target.Kind() != reflect.String || strings.TrimSpace(flag.Target.String()) != "" {
			continue
		}

		name := "--" + flag.Name
		if len(flag.Envs) > 0 {
			name = flag.Envs[0]
		}
		return wrongUsage("%s: %q is set, but empty: give it a value, or leave it out", name, flag.Target.String())
	}
	return nil
}

// exitCode writes the error of a command, and returns the exit code that belongs to it.
func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	// It may quote a server or a database that means harm.
	fmt.Fprintln(stderr, "escrowgrid:", visible.Lines(strings.TrimSpace(err.Error())))

	// A load test says by its code what failed.
	if verdict, ok := errors.AsType[*verdictError](err); ok {
		return verdict.code
	}
	if errors.As(err, new(*usageError)) {
		return exitUsage
	}
	if errors.Is(err, verify.ErrUnsignedTail) {
		return exitUnsigned
	}
	return exitFailure
}
