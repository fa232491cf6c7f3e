package web

import (
	"embed"
	"path"
)

// The page of the OpenAPI document. It is drawn by Swagger UI, which stands in
// static as its makers publish it, so that the page asks nothing of another host.

//go:embed static/docs.html static/docs.js static/icon.svg static/swagger-ui.css static/swagger-ui-bundle.js
var static embed.FS

// The page expects the document at /openapi.json and its files below /docs/.
const (
	// DocsPolicy lets the page run its own scripts, which write styles into it.
	DocsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// DocsCaching is the Cache-Control of its files: they change only with the program,
	// and are two megabytes.
	DocsCaching = "private, max-age=3600"
)

// DocsPage returns the page, in HTML.
func DocsPage() ([]byte, error) { return static.ReadFile("static/docs.html") }

// Icon returns the picture of the product, and its content type.
func Icon() (content []byte, contentType string) {
	content, _ = static.ReadFile("static/icon.svg") // It is built in.
	return content, "image/svg+xml"
}

// DocsFile returns a file of the page and its content type, which is empty where the page
// has no such file.
func DocsFile(name string) (content []byte, contentType string) {
	types := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

	content, err := static.ReadFile("static/" + name)
	if err != nil {
		return nil, ""
	}
	return content, types[path.Ext(name)]
}
