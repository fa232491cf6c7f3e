package web

import (
	"errors"
	"strconv"
	"strings"
)

// Preconditions of RFC 9110, section 13: a resource's version is its entity tag.

// ETag returns a version as an entity tag.
func ETag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// ETagOf returns the entity tag of a version of which an answer shows something that hangs on no version
// beside it; part tells that apart, in letters and digits.
func ETagOf(version int64, part string) string {
	return strconv.Quote(strconv.FormatInt(version, 10) + "." + part)
}

// IfMatch reads the values of If-Match and returns the versions that they name. Nil means
// that any version will do: there is no such header, or it is *. A tag that is not a
// version matches none, nor does a weak one: the comparison is the strong one (section
// 13.1.1). The error is of a header that has no such form; an empty one has not.
func IfMatch(headers []string) ([]int64, error) {
	header := strings.Join(headers, ",")
	if len(headers) == 0 || strings.TrimSpace(header) == "*" {
		return nil, nil
	}

	matched := []int64{}
	for _, tag := range etags(header) {
		if strings.HasPrefix(tag, "W/") {
			continue
		}
		text, quoted := strings.CutPrefix(tag, `"`)
		text, closed := strings.CutSuffix(text, `"`)
		if !quoted || !closed || len(tag) < len(`""`) {
			return nil, errors.New(`must be * or a list of quoted versions, like "3"`)
		}

		// Tags are compared as they stand: "03" is not "3". Of one of ETagOf, the version counts.
		text, _, _ = strings.Cut(text, ".")
		if version, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(version, 10) == text {
			matched = append(matched, version)
		}
	}
	return matched, nil
}

// IfNoneMatch reports whether the values of If-None-Match name a version. Here a weak tag
// is as good as the strong one: a proxy that compresses answers weakens their tags.
func IfNoneMatch(headers []string, version int64) bool { return NamesTag(headers, ETag(version)) }

// NamesTag reports whether the values of If-None-Match name an entity tag.
func NamesTag(headers []string, wanted string) bool {
	for _, tag := range etags(strings.Join(headers, ",")) {
		if tag == "*" || strings.TrimPrefix(tag, "W/") == wanted {
			return true
		}
	}
	return false
}

// etags splits a list of entity tags. Ours have no comma in them.
func etags(header string) []string {
	tags := strings.Split(header, ",")
	for i, tag := range tags {
		tags[i] = strings.TrimSpace(tag)
	}
	return tags
}
