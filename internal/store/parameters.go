package store

import (
	"time"

	"github.com/ncruces/go-sqlite3"
)

// parameters binds the columns of a row that are wanted to a statement.
type parameters struct {
	statement *sqlite3.Stmt
	cursor
	err error
}

func (p *parameters) keep(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *parameters) id(id [16]byte) { p.bytes(id[:]) }

func (p *parameters) text(text string) {
	if p.next() {
		p.keep(p.statement.BindText(p.place, text))
	}
}

func (p *parameters) optionalText(text string) {
	switch {
	case !p.next():
	case text == "":
		p.keep(p.statement.BindNull(p.place))
	default:
		p.keep(p.statement.BindText(p.place, text))
	}
}

func (p *parameters) number(number int64) {
	if p.next() {
		p.keep(p.statement.BindInt64(p.place, number))
	}
}

func (p *parameters) bytes(content []byte) {
	switch {
	case !p.next():
	case content == nil:
		p.keep(p.statement.BindNull(p.place))
	default:
		p.keep(p.statement.BindBlob(p.place, content))
	}
}

func (p *parameters) time(at time.Time) { p.number(at.UnixMicro()) }

func (p *parameters) optionalTime(at *time.Time) {
	switch {
	case !p.next():
	case at == nil:
		p.keep(p.statement.BindNull(p.place))
	default:
		p.keep(p.statement.BindInt64(p.place, at.UnixMicro()))
	}
}
