package main

import (
	"slices"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
)

// permissionTables returns what each permission allows and which requests take it, the built-in
// roles, and which of them has which permission.
func permissionTables() string {
	var text strings.Builder
	text.WriteString("### Permissions\n\n")
	writeRow(&text, "permission", "allows to", "requests")
	writeRow(&text, "---", "---", "---")
	for _, info := range escrow.Permissions() {
		requests := strings.Join(requestsOf(info.Permission), "; ")
		writeRow(&text, "`"+string(info.Permission)+"`", inPhrase(info.Allows), requests)
	}

	text.WriteString("\n### Roles\n\n")
	writeRow(&text, "role", "what it does", "permissions")
	writeRow(&text, "---", "---", "---")
	for _, role := range escrow.BuiltInRoles() {
		writeRow(&text, "`"+string(role.Name)+"`", inPhrase(role.Is), listed(role.Permissions))
	}
	return text.String()
}

// inPhrase makes a phrase of a sentence.
func inPhrase(sentence string) string {
	return strings.ToLower(sentence[:1]) + strings.TrimSuffix(sentence[1:], ".")
}

// requestsOf lists the requests that take a permission. A star marks those that a restricted key
// cannot send.
func requestsOf(permission escrow.Permission) (requests []string) {
	for _, route := range httpapi.RouteAccesses() {
		request := "`" + route.Route + "`"
		if slices.Contains(route.Parts, permission) {
			request = "parts of " + request
		} else if !slices.Contains(route.OneOf, permission) {
			continue
		}
		if route.Whole {
			request += " *"
		}
		requests = append(requests, request)
	}
	return requests
}

// listed lists permissions; all of an institution's are "all but the operator's".
func listed(set escrow.PermissionSet) string {
	list := set.List()
	if len(list) == len(escrow.TenantPermissions()) {
		return "all but the operator's"
	}
	names := make([]string, len(list))
	for i, permission := range list {
		names[i] = "`" + string(permission) + "`"
	}
	return strings.Join(names, ", ")
}
