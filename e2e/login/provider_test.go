package login

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// fields are the members of a JSON object.
type fields = map[string]any

// What the provider knows of the server and its callers.
const (
	// webClient is the server as it logs people in, and webSecret its secret.
	webClient, webSecret = "escrowgrid", "a secret that the provider and the server share"
	// nativeClient is a program on a person's machine, which has no secret.
	nativeClient, nativeRedirect = "terminal", "http://127.0.0.1/callback"
	// audience is whom access tokens are for.
	audience = "https://api.bank.test/"
)

// person is one of the people that the provider knows, by the name that they log in with.
type person struct {
	Password string   `json:"password"`
	Name     string   `json:"name"`
	Email    string   `json:"email"`
	Groups   []string `json:"groups"`
}

// provider is an oidc-provider. Its address stays when it is stopped and started.
type provider struct {
	t                 *testing.T
	issuer, directory string
	redirectURI       string
	keys              []jose.JSONWebKey
	people            map[string]person
	process           *programtest.Process
}

// startProvider starts a provider for a server with a redirect URI, at which Ada works and Mallory
// does not.
func startProvider(t *testing.T, redirectURI string) *provider {
	t.Helper()
	p := &provider{
		t: t, issuer: "http://" + programtest.FreeAddress(t), directory: t.TempDir(), redirectURI: redirectURI,
		people: map[string]person{
			"ada":     {"analytical", "Ada Lovelace", "ada@bank.test", []string{"operators", "auditors"}},
			"mallory": {"malicious", "Mallory", "mallory@evil.test", []string{"operators"}},
		},
	}
	p.keys = []jose.JSONWebKey{p.newKey()}
	p.writePeople()
	p.start()
	return p
}

func (p *provider) newKey() jose.JSONWebKey {
	p.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	return jose.JSONWebKey{Key: private, KeyID: rand.Text(), Algorithm: string(jose.ES256), Use: "sig"}
}

func (p *provider) write(name string, content any) {
	p.t.Helper()
	text, err := json.Marshal(content)
	if err != nil {
		p.t.Fatal(err)
	}
	// It is there as a whole, or not yet: the provider reads it at any time.
	path := filepath.Join(p.directory, name)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		p.t.Fatal(err)
	}
}

func (p *provider) writePeople() { p.write("people.json", p.people) }

// setGroups has a person be in some groups alone, from their next token on.
func (p *provider) setGroups(name string, groups ...string) {
	p.t.Helper()
	changed := p.people[name]
	changed.Groups = append([]string{}, groups...)
	p.people[name] = changed
	p.writePeople()
}

// start starts the provider, and waits until it answers.
func (p *provider) start() {
	p.t.Helper()
	p.write("configuration.json", fields{
		"issuer": p.issuer, "keys": p.keys, "resources": []string{audience},
		"people": filepath.Join(p.directory, "people.json"),
		"clients": []fields{
			{"client_id": webClient, "client_secret": webSecret, "redirect_uris": []string{p.redirectURI}},
			{
				"client_id": nativeClient, "token_endpoint_auth_method": "none", "application_type": "native",
				"redirect_uris": []string{nativeRedirect},
			},
		},
	})
	p.process = programtest.Start(p.t, nil, "node",
		filepath.Join(installed, "provider.js"), filepath.Join(p.directory, "configuration.json"))
	programtest.Answers(p.t, p.issuer+"/.well-known/openid-configuration")
}

// stop stops the provider, which forgets who is logged in.
func (p *provider) stop() { p.process.Stop() }

// rotate has the provider sign with a new key, and restarts it with the old one beside.
func (p *provider) rotate() {
	p.t.Helper()
	p.stop()
	p.keys = append([]jose.JSONWebKey{p.newKey()}, p.keys...)
	p.start()
}

// forget restarts the provider without all keys but the one that signs.
func (p *provider) forget() {
	p.t.Helper()
	p.stop()
	p.keys = p.keys[:1]
	p.start()
}

// tokens are what a program on a person's machine gets, with their consent.
type tokens struct{ access, id string }

// header is the one that a request has a token in.
func header(token string) string { return "Authorization: Bearer " + token }

// tokens logs a person in with a program on their machine: authorization code and PKCE.
func (p *provider) tokens(name string) tokens {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	agent := &http.Client{Jar: jar, CheckRedirect: func(request *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(request.URL.String(), nativeRedirect) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	client := oauth2.Config{
		ClientID: nativeClient, RedirectURL: nativeRedirect, Scopes: []string{"openid", "profile", "email", "groups"},
		Endpoint: oauth2.Endpoint{
			AuthURL: p.issuer + "/auth", TokenURL: p.issuer + "/token", AuthStyle: oauth2.AuthStyleInParams,
		},
	}
	verifier := oauth2.GenerateVerifier()
	resource := oauth2.SetAuthURLParam("resource", audience)
	wanted := oauth2.SetAuthURLParam("claims", `{"id_token": {"name": null, "email": null, "groups": null}}`)
	begin := client.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier), resource, wanted)

	form := p.send(agent, http.MethodGet, begin, nil)
	back := p.send(agent, http.MethodPost, form.Request.URL.String(),
		url.Values{"name": {name}, "password": {p.people[name].Password}})
	at, err := back.Location()
	if err != nil {
		p.t.Fatalf("the login of %s ends with %s: %v", name, back.Status, err)
	}
	ctx := context.WithValue(p.t.Context(), oauth2.HTTPClient, agent)
	got, err := client.Exchange(ctx, at.Query().Get("code"), oauth2.VerifierOption(verifier), resource)
	if err != nil {
		p.t.Fatal(err)
	}
	id, _ := got.Extra("id_token").(string)
	return tokens{access: got.AccessToken, id: id}
}

// joseHeader is the header of a token, which names its type and key.
func joseHeader(t *testing.T, token string) string {
	t.Helper()
	part, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatalf("%q is no token: %v", token, err)
	}
	return string(text)
}

// send sends a form, or asks for a page, and follows where that leads.
func (p *provider) send(agent *http.Client, method, address string, form url.Values) *http.Response {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), method, address, bytes.NewBufferString(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := agent.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		p.t.Fatal(err)
	}
	return response
}
