package web_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/web"
)

// even reads itself.
type even int

// UnmarshalJSON implements json.Unmarshaler.
func (e *even) UnmarshalJSON(value []byte) error {
	number := 0
	if _, err := fmt.Sscan(string(value), &number); err != nil || number%2 != 0 {
		return errors.New("must be even")
	}
	*e = even(number)
	return nil
}

type common struct {
	Name string `json:"name"`
}

type body struct {
	common
	Flag     bool       `json:"flag"`
	Number   *int64     `json:"number"`
	Even     *even      `json:"even"`
	Words    *[]string  `json:"words"`
	Inner    *innerBody `json:"inner"`
	Items    []itemBody `json:"items" maxItems:"3"`
	Untagged string
}

type innerBody struct {
	Text string `json:"text,omitempty"`
}

type itemBody struct{ common }

// decode reads a body and returns what is reported, as "field: message".
func decode(t *testing.T, text string) (read body, reported []string) {
	t.Helper()
	err := web.DecodeBody([]byte(text), &read, func(field, format string, args ...any) {
		reported = append(reported, field+": "+fmt.Sprintf(format, args...))
	})
	if err != nil {
		t.Fatal(err)
	}
	return read, reported
}

func TestABodyIsRead(t *testing.T) {
	read, reported := decode(t, `{"name": "é\u0041", "flag": true, "number": -1, "even": 4, "words": ["a", ""],
		"inner": {"text": "x"}, "items": [{"name": "1"}, {}]}`)

	number, four := int64(-1), even(4)
	want := body{
		common: common{Name: "éA"},
		Flag:   true,
		Number: &number,
		Even:   &four,
		Words:  &[]string{"a", ""},
		Inner:  &innerBody{Text: "x"},
		Items:  []itemBody{{common{Name: "1"}}, {}},
	}
	if diff := cmp.Diff(want, read, cmp.AllowUnexported(body{}, itemBody{})); diff != "" || len(reported) > 0 {
		t.Errorf("it is read as %s; reported is %v", diff, reported)
	}
}

func TestEverythingThatIsWrongWithABodyIsReported(t *testing.T) {
	for text, want := range map[string][]string{
		`{}`:            nil,
		`{"name":null}`: nil,
		`[]`:            {"body: must be a JSON object"},
		`{"name":1,"flag":"true","number":1.5,"even":3}`: {
			"name: must be a string", "flag: must be true or false", "number: must be a whole number", "even: must be even",
		},
		`{"words":"a"}`:                 {"words: must be an array of strings"},
		`{"words":["a",1]}`:             {"words: must be an array of strings"},
		`{"inner":[]}`:                  {"inner: must be a JSON object"},
		`{"inner":{"text":1,"more":2}}`: {"inner.text: must be a string", "inner.more: is not a known field"},
		`{"items":{}}`:                  {"items: must be an array of objects"},
		`{"items":[{"name":1},2,{"x":3}]}`: {
			"items[0].name: must be a string", "items[1]: must be a JSON object", "items[2].x: is not a known field",
		},
		`{"Name":1,"Untagged":2,"":3}`: {"Name: is not a known field", "Untagged: is not a known field", ": is not a known field"},
		`{"` + strings.Repeat("x", 65) + `":1}`: {
			`"` + strings.Repeat("x", 64) + `"…: is not a known field`,
		},
	} {
		if _, reported := decode(t, text); !slices.Equal(reported, want) {
			t.Errorf("%s: reported is\n\t%q, want\n\t%q", text, reported, want)
		}
	}
}

// One more than there may be shows that there are too many; a client's millions are not
// kept.
func TestOfAListNoMoreIsReadThanItMayHave(t *testing.T) {
	read, reported := decode(t, `{"items":[`+strings.Repeat("{},", 100)+`1]}`)
	if len(read.Items) != 4 || len(reported) > 0 {
		t.Errorf("%d items are read; reported is %v", len(read.Items), reported)
	}
}

func TestAListOfStructsNeedsABound(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it is read without one")
		}
	}()
	var unbounded struct {
		Items []itemBody `json:"items"`
	}
	_ = web.DecodeBody([]byte(`{}`), &unbounded, func(string, string, ...any) {})
}

func TestWhatIsNotJSONIsAnError(t *testing.T) {
	for _, text := range []string{``, `{`, `{"name":}`, `{}x`, `{} {}`, `{"name":"a","name":"b"}`, "{\"name\":\"\xff\"}", `{"items":[{"x":`} {
		err := web.DecodeBody([]byte(text), &body{}, func(string, string, ...any) {})
		if failed, ok := errors.AsType[*web.BodyError](err); !ok || failed.Code != web.CodeMalformedBody {
			t.Errorf("%q: the error is %v", text, err)
		}
	}
}

func TestQueries(t *testing.T) {
	type query struct {
		common
		Limit    int64  `query:"limit" minimum:"1" maximum:"10" default:"5"`
		Size     *int64 `query:"size" minimum:"2"`
		Order    string `query:"order"`
		Sort     string `query:"sort" enum:"up,down,none" default:"up"`
		All      bool   `query:"all"`
		Required int64  `query:"required" minimum:"0" required:"true"`
	}
	for text, want := range map[string][]string{
		"limit=1&order=%C3%A9":  nil,
		"limit=1&limit=1":       {"limit: must be given once"},
		"limit=0":               {"limit: must be a whole number from 1 to 10"},
		"limit=11":              {"limit: must be a whole number from 1 to 10"},
		"limit=%2B1":            {"limit: must be a whole number from 1 to 10"},
		"size=1":                {"size: must be a whole number of at least 2"},
		"size=-1":               {"size: must be a whole number of at least 2"},
		"size=":                 {"size: must not be empty: leave it out instead"},
		"sort=left":             {"sort: must be up, down or none"},
		"all=1":                 {"all: must be true or false"},
		"order=%00":             {"order: must be valid UTF-8 without control characters"},
		"order=%FF":             {"order: must be valid UTF-8 without control characters"},
		"z=1&limit=1&a=2&name=": {"a: is not a known parameter", "name: is not a known parameter", "z: is not a known parameter"},
		"limit=%zz":             {"query: must be pairs like name=value, joined by &, in percent-encoding"},
	} {
		var reported []string
		web.DecodeQuery("required=0&"+text, &query{}, func(field, format string, args ...any) {
			reported = append(reported, field+": "+fmt.Sprintf(format, args...))
		})
		if !slices.Equal(reported, want) {
			t.Errorf("%s: reported is\n\t%q, want\n\t%q", text, reported, want)
		}
	}

	for text, want := range map[string]query{
		"required=9": {Limit: 5, Sort: "up", Required: 9},
		"limit=10&size=2&order=%C3%A9&sort=none&all=true&required=0": {Limit: 10, Size: new(int64(2)), Order: "é", Sort: "none", All: true},
	} {
		var read query
		web.DecodeQuery(text, &read, func(field, _ string, _ ...any) { t.Errorf("%s is reported", field) })
		if !reflect.DeepEqual(read, want) {
			t.Errorf("%s is read as %+v", text, read)
		}
	}
	for _, none := range []string{"", "order=a"} {
		var reported []string
		web.DecodeQuery(none, &query{}, func(field, format string, _ ...any) { reported = append(reported, field+" "+format) })
		if !slices.Equal(reported, []string{"required is required"}) {
			t.Errorf("%q: reported is %q", none, reported)
		}
	}
}
