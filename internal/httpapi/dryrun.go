package httpapi

import (
	"bytes"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/escrowgrid/escrowgrid/internal/web"
)

// A command with Dry-Run: true is answered by the same code as one without, on books that are thrown away.

// DryRunMembers are what answers to dry runs have beside their own members. The name is exported because the
// document is made of exported fields alone.
type DryRunMembers struct {
	DryRun   bool   `json:"dryRun,omitzero" doc:"true in answers to dry runs, and left out of others: nothing was done."`
	JudgedOn *int64 `json:"judgedOn,omitempty" doc:"The sequence of the last entry that a dry run was judged on." minimum:"0"`
}

// readDryRun notes whether the request is a dry run. What does not change the journal takes none: a client
// that sends it believes that nothing is done.
func (c *call) readDryRun() {
	switch given := c.request.Header.Values("Dry-Run"); {
	case len(given) == 0 || c.route == nil:
	case !c.route.isJournaled():
		c.faults.Add("Dry-Run", "is not taken here: only what the journal tells of can be tried")
	case len(given) > 1 || given[0] != "true":
		c.faults.Add("Dry-Run", "must be true, or left out")
	default:
		c.dryRun = true
	}
}

// rehearsed is the answer to a dry run, made of that of a command that was carried out or waits: without
// what there is of neither.
func (c *call) rehearsed(answer reply) (reply, error) {
	content := []byte("{}")
	if answer.body != nil {
		var err error
		if content, err = encode(answer.body); err != nil {
			return reply{}, err
		}
	}
	members, err := encode(DryRunMembers{DryRun: true, JudgedOn: c.judgedOn})
	if err != nil {
		return reply{}, err
	}

	rehearsed := reply{status: answer.status, contentType: web.ContentTypeJSON}
	if answer.status != http.StatusAccepted {
		rehearsed.status = http.StatusOK
	}
	rehearsed.raw, err = joined(content, members)
	return rehearsed, err
}

// joined returns an object with those members of another that it does not have, as a line of JSON.
func joined(object, further []byte) ([]byte, error) {
	own, err := membersOf(object)
	if err != nil {
		return nil, err
	}
	others, err := membersOf(further)
	if err != nil {
		return nil, err
	}

	for _, other := range others {
		if !slices.ContainsFunc(own, func(m member) bool { return bytes.Equal(m.name, other.name) }) {
			own = append(own, other)
		}
	}
	text := []byte("{")
	for i, m := range own {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(append(text, m.name...), ':'), m.value...)
	}
	return append(text, "}\n"...), nil
}

// member is one of an object, as it is written.
type member struct{ name, value jsontext.Value }

func membersOf(object []byte) (members []member, err error) {
	// The names in our own structs differ; metadata is answered as its client wrote it.
	d := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowDuplicateNames(true))
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}

	for d.PeekKind() != '}' {
		var m member
		if m.name, err = d.ReadValue(); err != nil {
			return nil, err
		}
		m.name = m.name.Clone() // It is good only until the next is read.
		if m.value, err = d.ReadValue(); err != nil {
			return nil, err
		}
		m.value = m.value.Clone()
		members = append(members, m)
	}
	return members, nil
}
