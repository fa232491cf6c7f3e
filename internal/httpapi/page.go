package httpapi

import (
	"crypto/sha256"
	_ "embed" // for the style
	"encoding/base64"
	"html/template"
	"strings"
	"time"
)

// This file has what pages for people and their printers share.

//go:embed assets/page.css
var pageStyle string

// pagePolicy lets a page have its style, which stands in it, and nothing else.
var pagePolicy = func() string {
	hash := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// newPage reads the template of a page. It panics where that cannot be read.
func newPage(name, text string) *template.Template {
	style := func() template.CSS { return template.CSS(pageStyle) } //nolint:gosec // It is our own.
	return template.Must(template.New(name).Funcs(template.FuncMap{"style": style}).Parse(text))
}

// particular is a line at the head of a page; one without a value is left out.
type particular struct{ Name, Value string }

// pageFormats is how a page writes times and amounts. Its zone is nil for UTC alone.
type pageFormats struct{ zone *time.Location }

// Time shows a time to the second: in the zone that was asked for, with UTC beside it, or in UTC.
func (f pageFormats) Time(at timestamp) string {
	const layout = "2006-01-02 15:04:05"
	utc := time.Time(at).UTC().Format(layout) + " UTC"
	if f.zone == nil {
		return utc
	}
	return time.Time(at).In(f.zone).Format(layout+" MST") + " (" + utc + ")"
}

// Day, Clock and UTC show a time in lines of their own.
func (f pageFormats) Day(at timestamp) string {
	return time.Time(at).In(f.location()).Format(time.DateOnly)
}

// Clock is the second line.
func (f pageFormats) Clock(at timestamp) string {
	return time.Time(at).In(f.location()).Format("15:04:05 MST")
}

// UTC is the third line, where the first two are in another zone.
func (f pageFormats) UTC(at timestamp) string {
	if f.zone == nil {
		return ""
	}
	return time.Time(at).UTC().Format(time.DateTime) + " UTC"
}

func (f pageFormats) location() *time.Location {
	if f.zone == nil {
		return time.UTC
	}
	return f.zone
}

// Zone names the zone of the times.
func (f pageFormats) Zone() string { return f.location().String() }

// Figure is an amount with its thousands apart.
func (pageFormats) Figure(amount string) string {
	whole, decimals, _ := strings.Cut(amount, ".")
	sign := strings.TrimRight(whole, "0123456789")
	digits := whole[len(sign):]
	grouped := ""
	for len(digits) > 3 {
		grouped = "," + digits[len(digits)-3:] + grouped
		digits = digits[:len(digits)-3]
	}
	if decimals != "" {
		decimals = "." + decimals
	}
	return strings.Replace(sign, "-", "\u2212", 1) + digits + grouped + decimals
}
