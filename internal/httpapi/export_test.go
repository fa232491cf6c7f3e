package httpapi

// Routes lists the routes of the API, as "GET /positions/{id}".
func Routes() []string {
	var routes []string
	for _, r := range (&server{}).table() {
		if !r.unlisted {
			routes = append(routes, r.pattern)
		}
	}
	return routes
}
