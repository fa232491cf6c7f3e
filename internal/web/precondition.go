package httpapi

import (
	"errors"
	"strconv"
	"strings"
)

// Preconditions of RFC 9110, section 13: a position's version is its entity tag.

// versions reads If-Match. Nil means that any version will do; a tag that is no
// version, a weak one included, matches none.
func versions(headers []string) ([]int64, error) {
	header := strings.Join(headers, ",")
	if strings.TrimSpace(header) == "" || strings.TrimSpace(header) == "*" {
		return nil, nil
	}
	matched := []int64{}
	for _, tag := range etags(header) {
		text, quoted := strings.CutPrefix(tag, `"`)
		text, closed := strings.CutSuffix(text, `"`)
		if strings.HasPrefix(tag, "W/") {
			continue
		}
		if !quoted || !closed || len(tag) < 2 {
			return nil, errors.New(`must be * or a list of quoted versions, like "3"`)
		}
		// Tags are compared as they stand: "03" is not "3".
		if version, err := strconv.ParseInt(text, 10, 64); err == nil && etag(version) == tag {
			matched = append(matched, version)
		}
	}
	return matched, nil
}

// isKnown tells whether If-None-Match names a version. Here a weak tag is as good
// as the strong one: a proxy that compresses answers weakens their tags.
func isKnown(headers []string, version int64) bool {
	for _, tag := range etags(strings.Join(headers, ",")) {
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag(version) {
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
