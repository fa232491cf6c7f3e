package web

import (
	"mime"
	"strconv"
	"strings"
)

// acceptRange is an element of an Accept header: what types of content it is about, and how much
// the client wants them, from 0 for not at all to 1.
type acceptRange struct {
	types   string
	quality float64
}

// PreferredType returns which of some types of content the values of Accept want most (RFC 9110,
// 12.5.1): of several, the first. It is "" where they want none. The most specific element that
// matches a type decides about it, so that "text/csv;q=0, */*" takes anything but CSV. Parameters
// other than q are not compared, and elements that cannot be read are passed over. Without any
// element, every type will do.
func PreferredType(headers []string, offered ...string) (preferred string) {
	header := strings.Join(headers, ",")
	if strings.Trim(header, ", \t") == "" {
		return offered[0]
	}
	ranges := acceptRanges(header)

	var most float64
	for _, contentType := range offered {
		if quality := qualityOf(contentType, ranges); quality > most {
			preferred, most = contentType, quality
		}
	}
	return preferred
}

// acceptRanges reads the elements of a header.
func acceptRanges(header string) (ranges []acceptRange) {
	for element := range strings.SplitSeq(header, ",") {
		types, parameters, err := mime.ParseMediaType(element)
		if err != nil {
			continue
		}

		quality := 1.0
		if text, ok := parameters["q"]; ok {
			quality, err = strconv.ParseFloat(text, 64)
		}
		if err == nil && quality >= 0 && quality <= 1 {
			ranges = append(ranges, acceptRange{types: types, quality: quality})
		}
	}
	return ranges
}

// qualityOf is how much a type is wanted. Of equally specific ranges, the first decides.
func qualityOf(contentType string, ranges []acceptRange) float64 {
	group, _, _ := strings.Cut(contentType, "/")
	for _, types := range []string{contentType, group + "/*", "*/*"} {
		for _, r := range ranges {
			if r.types == types {
				return r.quality
			}
		}
	}
	return 0
}
