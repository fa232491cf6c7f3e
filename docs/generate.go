// Package docs holds the documentation. What a program can write of it better
// than people is generated: openapi.json, and the tables in errors.md, permissions.md and
// configuration.md.
package docs

//go:generate go run ../internal/gendocs ..
