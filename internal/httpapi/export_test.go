package httpapi

// Routes lists the table of routes, as "GET /positions/{id}".
func Routes() []string {
	var routes []string
	for _, r := range (&server{}).table() {
		routes = append(routes, r.pattern)
	}
	return routes
}

// PrivateSpecification is Specification of a server whose documentation takes a
// key.
func PrivateSpecification() ([]byte, error) { return specification(false) }
