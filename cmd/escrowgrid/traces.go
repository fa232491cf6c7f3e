package main

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/escrowgrid/escrowgrid/internal/tracing/otlp"
)

// traceFlags say where traces go, with OpenTelemetry's own variables, which operators of
// collectors know. OpenTelemetry's library could read them itself, but for a wrong value it would
// silently use a default.
type traceFlags struct {
	TracesExporter   string `env:"OTEL_TRACES_EXPORTER" name:"otel-traces-exporter" default:"none" help:"Where traces go: none or otlp."`
	TracesEndpoint   string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" name:"otel-exporter-otlp-endpoint" default:"http://localhost:4318" help:"The URL of the collector, which takes OTLP over HTTP."`
	TracesProtocol   string `env:"OTEL_EXPORTER_OTLP_PROTOCOL" name:"otel-exporter-otlp-protocol" default:"http/protobuf" help:"The protocol to the collector; only http/protobuf is supported."`
	TracesHeaders    string `env:"OTEL_EXPORTER_OTLP_HEADERS" name:"otel-exporter-otlp-headers" secret:"" help:"Headers for the collector, like authorization=Bearer%20…,x-tenant=escrow."`
	TracesSampler    string `env:"OTEL_TRACES_SAMPLER" name:"otel-traces-sampler" default:"parentbased_always_on" help:"Which requests are traced: always_on, always_off, traceidratio, or one of these after parentbased_, which lets a client that sends a trace context decide."`
	TracesSamplerArg string `env:"OTEL_TRACES_SAMPLER_ARG" name:"otel-traces-sampler-arg" default:"1" help:"The share of requests that traceidratio traces, from 0 to 1."`
	ServiceName      string `env:"OTEL_SERVICE_NAME" name:"otel-service-name" help:"The name of this server in traces; escrowgrid when left out."`
}

// traces reads where traces go; nil is nowhere. It reports wrong values even when nothing is
// traced, before the day on which somebody needs traces.
func (r *reader) traces(flags traceFlags) *otlp.Config {
	if flags.TracesExporter != "otlp" && flags.TracesExporter != "none" {
		r.wrong("OTEL_TRACES_EXPORTER", flags.TracesExporter, "none or otlp")
	}
	if flags.TracesProtocol != "http/protobuf" {
		r.wrong("OTEL_EXPORTER_OTLP_PROTOCOL", flags.TracesProtocol, "http/protobuf")
	}

	if !isEndpoint(flags.TracesEndpoint) {
		shown := flags.TracesEndpoint
		if strings.Contains(shown, "@") {
			shown = "(not shown)" // A password may stand before the @.
		}
		r.wrong("OTEL_EXPORTER_OTLP_ENDPOINT", shown,
			"a URL like http://localhost:4318, with keys in OTEL_EXPORTER_OTLP_HEADERS")
	}

	config := &otlp.Config{
		Endpoint: flags.TracesEndpoint,
		Headers:  r.headers("OTEL_EXPORTER_OTLP_HEADERS", flags.TracesHeaders),
		Sampler:  r.sampler(flags),
		Service:  flags.ServiceName,
		Version:  version(),
	}
	if flags.TracesExporter == "none" {
		return nil
	}
	return config
}

// isEndpoint reports whether a text is a URL to which a path can be appended. It refuses a URL with
// a password, because the log shows endpoints.
func isEndpoint(text string) bool {
	endpoint, err := url.Parse(text)
	return err == nil && isWebURL(text) && endpoint.User == nil && endpoint.RawQuery == "" && endpoint.Fragment == ""
}

// sampler reads which requests are traced; nil when the value is wrong.
func (r *reader) sampler(flags traceFlags) sdk.Sampler {
	ratio, err := strconv.ParseFloat(flags.TracesSamplerArg, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		r.wrong("OTEL_TRACES_SAMPLER_ARG", flags.TracesSamplerArg, "a number from 0 to 1")
	}

	name, parentBased := strings.CutPrefix(flags.TracesSampler, "parentbased_")
	var sampler sdk.Sampler
	switch name {
	case "always_on":
		sampler = sdk.AlwaysSample()
	case "always_off":
		sampler = sdk.NeverSample()
	case "traceidratio":
		sampler = sdk.TraceIDRatioBased(ratio)
	default:
		r.wrong("OTEL_TRACES_SAMPLER", flags.TracesSampler,
			"always_on, always_off or traceidratio, or one of them after parentbased_")
		return nil
	}

	if parentBased {
		return sdk.ParentBased(sampler)
	}
	return sampler
}

// headers reads a list of headers in OpenTelemetry's form: name=value, with the value
// percent-encoded. No message holds them.
func (r *reader) headers(variable, value string) map[string]string {
	headers := make(map[string]string)
	for _, pair := range r.list(variable, value) {
		name, encoded, hasValue := strings.Cut(pair, "=")
		decoded, err := url.PathUnescape(strings.TrimSpace(encoded))
		if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); err != nil || !hasValue || name == "" {
			r.wrong(variable, "(secret)", "a list of headers, like name=value,other=value, with percent-encoded values")
		}
		headers[name] = decoded
	}
	return headers
}
