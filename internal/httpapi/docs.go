package httpapi

import (
	_ "embed"
)

// The page of the OpenAPI document. Its script is Redoc, which stands in assets
// as its makers publish it, so that the page asks nothing of another host.

//go:embed assets/redoc.standalone.js
var redocScript []byte

const docsHTML = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>EscrowGrid API</title>
<style>body { margin: 0 }</style>
<redoc spec-url="/openapi.json"></redoc>
<script src="/docs/redoc.js"></script>
</html>
`

// docsPolicy lets the page run its own script, which styles what it draws and
// searches in a worker.
const docsPolicy = "default-src 'none'; script-src 'self'; worker-src blob:; style-src 'unsafe-inline'; " +
	"img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (s *server) openAPI(*call) (reply, error) {
	return reply{status: 200, raw: s.specJSON, contentType: "application/json"}, nil
}

func (s *server) docsPage(c *call) (reply, error) {
	c.writer.Header().Set("Content-Security-Policy", docsPolicy)
	return reply{status: 200, raw: []byte(docsHTML), contentType: "text/html; charset=utf-8"}, nil
}

func (s *server) docsScript(c *call) (reply, error) {
	// The script changes only with the program, and is a megabyte.
	c.writer.Header().Set("Cache-Control", "private, max-age=3600")
	return reply{status: 200, raw: redocScript, contentType: "text/javascript; charset=utf-8"}, nil
}
