# syntax=docker/dockerfile:1
# The server, alone in an image: no shell, no package manager, no user but its own.
#
#	docker build --build-arg VERSION=1.2.3 -t escrowgrid .

FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
# Modules change less often than code.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.release=$VERSION" -o /out/escrowgrid ./cmd/escrowgrid
# What is mounted over /data for the first time takes its owner from here.
RUN mkdir -p /out/data /out/tmp && chown 65532:65532 /out/data /out/tmp

FROM scratch
# To speak TLS with PostgreSQL.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/tmp /tmp
COPY --from=build /out/escrowgrid /escrowgrid
COPY LICENSE /LICENSE
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /data
ENV HOST=0.0.0.0 \
    DATABASE_URL=sqlite:/data/escrowgrid.db
VOLUME /data
EXPOSE 4000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/escrowgrid", "healthcheck"]
ENTRYPOINT ["/escrowgrid"]
CMD ["serve"]
