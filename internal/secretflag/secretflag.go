// Package secretflag keeps secrets off command lines, which every user of a machine can read in
// its list of processes. A member of a command that is tagged as secret comes from its variable
// or from a file; and no flag takes a URL with a password.
package secretflag

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// secretTag is the tag of a member whose value is a secret. With the value partly it is the
// member's password alone, as in a URL, and the flag takes the rest.
const (
	secretTag = "secret"
	partly    = "password"
)

// Options make a parser of kong refuse secrets as flags, and read them from files.
func Options() []kong.Option {
	return []kong.Option{
		kong.PostBuild(hide),
		kong.WithBeforeReset(refuse),
		kong.Resolvers(kong.ResolverFunc(fromFile)),
	}
}

// Error says that a secret was given in a place that is wrong, or that a file with one cannot be
// read. It shows nothing of the secret.
type Error struct{ message string }

func (e *Error) Error() string { return e.message }

func wrong(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// isSecret reports whether the whole value of a flag is a secret.
func isSecret(flag *kong.Flag) bool {
	return flag.Tag.Has(secretTag) && flag.Tag.Get(secretTag) != partly
}

// hide takes secrets out of the lists of flags in help texts, and names their variables there.
// The flags stay in the model, because kong reads variables only for flags, and so that refuse
// can say what to do instead.
func hide(parser *kong.Kong) error {
	return kong.Visit(parser.Model, func(visited kong.Visitable, next kong.Next) error {
		node, isNode := visited.(*kong.Node)
		if application, ok := visited.(*kong.Application); ok {
			node, isNode = application.Node, true
		}
		if !isNode {
			return next(nil)
		}

		var list strings.Builder
		for _, flag := range node.Flags {
			if isSecret(flag) {
				flag.Hidden = true
				fmt.Fprintf(&list, "\n\n$%s: %s", flag.Envs[0], flag.Help)
			}
		}
		if list.Len() > 0 {
			node.Detail = strings.TrimSpace(node.Detail + "\n\nSecrets are variables, or in files that VARIABLE_FILE " +
				"names, and never flags, which every user of the machine can read:" + list.String())
		}
		return next(nil)
	})
}

// refuse returns an Error for a secret on the command line.
func refuse(parsed *kong.Context) error {
	for _, path := range parsed.Path {
		// What a resolver has found comes from a file.
		flag := path.Flag
		if flag == nil || path.Resolved {
			continue
		}

		switch {
		case isSecret(flag):
			return wrong("--%s: every user of the machine can read flags: give the secret in %s",
				flag.Name, places(flag))
		case slices.ContainsFunc(texts(parsed.FlagValue(flag)), hasPassword):
			return wrong("--%s: every user of the machine can read flags: leave out the password%s",
				flag.Name, elsewhere(flag))
		}
	}
	return nil
}

// elsewhere says where a URL's password can be given, as the end of a sentence.
func elsewhere(flag *kong.Flag) string {
	if flag.Tag.Has(secretTag) {
		return ", or give the URL in " + places(flag)
	}
	if flag.Name == "database" {
		return "; PostgreSQL's variables PGPASSWORD and PGPASSFILE take it"
	}
	return ", which has no place in it"
}

// places names the variables that take a flag's secret instead.
func places(flag *kong.Flag) string {
	return flag.Envs[0] + ", or in the file that " + flag.Envs[0] + "_FILE names"
}

// texts returns the texts in a flag's value.
func texts(value any) []string {
	switch v := reflect.ValueOf(value); {
	case v.Kind() == reflect.String:
		return []string{v.String()}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String:
		list := make([]string, v.Len())
		for i := range list {
			list[i] = v.Index(i).String()
		}
		return list
	}
	return nil
}

// hasPassword reports whether a text is a URL with a password, as far as one can tell: a typing
// error can put the password anywhere before an @.
func hasPassword(text string) bool {
	_, rest, isURL := strings.Cut(text, "://")
	if !isURL {
		return false
	}

	// libpq takes passwords among the parameters as well.
	if strings.Contains(strings.ToLower(rest), "password=") {
		return true
	}
	parsed, err := url.Parse(text)
	if err != nil || strings.Contains(parsed.Path+parsed.RawQuery+parsed.Fragment, "@") {
		before, _, hasAt := strings.Cut(rest, "@")
		return hasAt && strings.Contains(before, ":")
	}
	_, set := parsed.User.Password()
	return set
}
