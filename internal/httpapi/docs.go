package httpapi

import (
	"embed"
	"path"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// The page of the OpenAPI document. It is drawn by Swagger UI, which stands in
// assets as its makers publish it, so that the page asks nothing of another host.

//go:embed assets/docs.html assets/docs.js assets/swagger-ui.css assets/swagger-ui-bundle.js
var assets embed.FS

// docsPolicy lets the page run its own scripts, which write styles into it.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (s *server) openAPI(*call) (reply, error) {
	return reply{status: 200, raw: s.specJSON, contentType: contentTypeJSON}, nil
}

func (s *server) docsPage(c *call) (reply, error) {
	c.setHeader("Content-Security-Policy", docsPolicy)
	c.setHeader("Referrer-Policy", "no-referrer")
	page, err := assets.ReadFile("assets/docs.html")
	return reply{status: 200, raw: page, contentType: "text/html; charset=utf-8"}, err
}

// docsAsset answers a file of the page.
func (s *server) docsAsset(c *call) (reply, error) {
	types := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
	name := c.request.PathValue("file")
	content, err := assets.ReadFile("assets/" + name)
	contentType, isPart := types[path.Ext(name)]
	if err != nil || !isPart {
		return reply{}, escrow.Errorf(codeRouteNotFound, "There is nothing at this path.")
	}
	// They change only with the program, and are two megabytes.
	c.writer.Header().Set("Cache-Control", "private, max-age=3600")
	return reply{status: 200, raw: content, contentType: contentType}, nil
}
