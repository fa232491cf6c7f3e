package httpapi

import (
	"net/http"

	"github.com/escrowgrid/escrowgrid/internal/web"
)

var openAPIOperation = operation{
	Operation: web.Operation{
		ID: "getOpenAPI", Tag: "Service", Summary: "This document",
		OtherTypes: []string{"application/json"},
	},
}

// openAPI answers the document of the routes. It was made at the start, where a route that
// cannot be described stops the server.
func (s *server) openAPI(*call) (reply, error) {
	return reply{status: http.StatusOK, raw: *s.document.Load(), contentType: web.ContentTypeJSON}, nil
}

var docsPageOperation = operation{
	Operation: web.Operation{
		ID: "getDocs", Tag: "Service", Summary: "This document as a page",
		OtherTypes: []string{"text/html"},
	},
}

// docsPage answers the document as a page. It runs scripts, unlike any other answer, and so
// has a policy of its own.
func (s *server) docsPage(c *call) (reply, error) {
	c.writer.SecurePage(web.DocsPolicy)
	page, err := web.DocsPage()
	return reply{status: http.StatusOK, raw: page, contentType: contentTypeHTML + "; charset=utf-8"}, err
}

// toDocs leads people who look for a page to the one there is.
func (*server) toDocs(*call) (reply, error) {
	return reply{status: http.StatusSeeOther, location: "/docs"}, nil
}

// icon answers the picture that browsers show beside the title of a page.
func (*server) icon(c *call) (reply, error) {
	content, contentType := web.Icon()
	c.writer.Header().Set("Cache-Control", web.DocsCaching)
	return reply{status: http.StatusOK, raw: content, contentType: contentType}, nil
}

var docsFileOperation = operation{
	Operation: web.Operation{
		ID: "getDocsFile", Tag: "Service", Summary: "A file of the page",
		OtherTypes: []string{"*/*"},
	},
	refusals: codes{codeRouteNotFound},
}

// docsFile answers a file of the page, from those that are built in: no path leads to the
// disk.
func (s *server) docsFile(c *call) (reply, error) {
	content, contentType := web.DocsFile(c.request.PathValue("file"))
	if contentType == "" {
		return reply{}, c.nothingHere()
	}
	c.writer.Header().Set("Cache-Control", web.DocsCaching)
	return reply{status: http.StatusOK, raw: content, contentType: contentType}, nil
}
