// Package docs holds the documentation. What a program can write of it better
// than people is generated: openapi.json, the table in errors.md and the table in
// configuration.md.
package docs

//go:generate go run ../internal/gendocs ..
