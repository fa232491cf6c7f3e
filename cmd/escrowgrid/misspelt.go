package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A variable that is misspelt would be ignored in silence, and the default taken, such as a new
// database. Names that are close to those that a command reads are told; all others are somebody
// else's.

// misspelling is a variable that is set and not read, and the one that is likely to be meant.
type misspelling struct{ name, meant string }

type misspellings []misspelling

// misspelt finds the variables of an environment that are close to those of a command, and that no
// command reads.
func misspelt(environment []string, command *kong.Context) (found misspellings) {
	read := variablesOf(command.Flags())
	known := slices.Concat(read, prototypeVariables)
	for _, other := range command.Model.Leaves(false) {
		known = append(known, variablesOf(slices.Concat(other.AllFlags(false)...))...)
	}

	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		if slices.Contains(known, name) {
			continue
		}
		meant := slices.IndexFunc(read, func(one string) bool { return isClose(name, one) })
		if meant >= 0 {
			found = append(found, misspelling{name: name, meant: read[meant]})
		}
	}
	slices.SortFunc(found, func(a, b misspelling) int { return strings.Compare(a.name, b.name) })
	return found
}

// variablesOf are the variables that flags are read from; a secret can be in a file, too.
func variablesOf(flags []*kong.Flag) (names []string) {
	for _, flag := range flags {
		for _, name := range flag.Envs {
			names = append(names, name)
			if flag.Tag.Has("secret") {
				names = append(names, name+"_FILE")
			}
		}
	}
	return names
}

// isClose reports whether a name is another one that was mistyped: written in another way, with two
// neighbours swapped, or with one letter more, less or different. Short names have many like them
// in everybody's environment, which differ by a letter: POST is no PORT.
func isClose(name, meant string) bool {
	const short = 8

	isShort := len(meant) < short
	plain := strings.NewReplacer("_", "", "-", "", ".", "")
	if strings.EqualFold(plain.Replace(name), plain.Replace(meant)) {
		return true
	}
	for name != "" && meant != "" && name[0] == meant[0] {
		name, meant = name[1:], meant[1:]
	}
	for name != "" && meant != "" && name[len(name)-1] == meant[len(meant)-1] {
		name, meant = name[:len(name)-1], meant[:len(meant)-1]
	}

	isSwapped := len(name) == 2 && len(meant) == 2 && name[0] == meant[1] && name[1] == meant[0]
	return isSwapped || !isShort && len(name) <= 1 && len(meant) <= 1
}

// log warns of them in a server's log.
func (all misspellings) log(logger *slog.Logger) {
	for _, one := range all {
		logger.Warn("a variable is set that is not read; another one has a name like it",
			"variable", one.name, "read", one.meant)
	}
}

// print warns of them in front of what a command writes.
func (all misspellings) print(stderr io.Writer) {
	for _, one := range all {
		fmt.Fprintf(stderr, "escrowgrid: warning: %q is not read: is %s meant?\n", one.name, one.meant)
	}
}
