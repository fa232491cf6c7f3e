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
		if version, err := strconv.ParseInt(text, 10, 64); err == nil {
			matched = append(matched, version)
		}
	}
	return matched, nil
}

// etags splits a list of entity tags. Ours have no comma in them.
func etags(header string) []string {
	tags := strings.Split(header, ",")
	for i, tag := range tags {
		tags[i] = strings.TrimSpace(tag)
	}
	return tags
}
