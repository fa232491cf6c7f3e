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
ARG TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.release=$VERSION" -o /out/escrowgrid ./cmd/escrowgrid
# What is mounted over /data for the first time takes its owner from here.
RUN mkdir -p /out/data /out/report /out/tmp && chown 65532:65532 /out/data /out/report /out/tmp

# k6, in the version that load/k6.mod pins. Its licence is AGPL-3.0, and it is in the image
# for load tests alone.
FROM build AS build-k6
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -modfile=load/k6.mod -trimpath -buildvcs=false -o /out/k6 go.k6.io/k6/v2

# What puts load on servers: docker build --target loadtest -t escrowgrid-loadtest .
FROM scratch AS loadtest
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build-k6 --chown=65532:65532 /out/report /report
COPY --from=build-k6 --chown=65532:65532 /out/tmp /tmp
COPY --from=build-k6 /out/escrowgrid /out/k6 /
USER 65532:65532
ENV PATH=/ HOME=/tmp
VOLUME /report
ENTRYPOINT ["/escrowgrid", "loadtest", "--report", "/report"]

# The server.
FROM scratch
# To speak TLS with PostgreSQL.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/tmp /tmp
COPY --from=build /out/escrowgrid /escrowgrid
COPY LICENSE /LICENSE
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
# The database is escrowgrid.db in here, where no other is named. A variable that named it
# would be in the way of DATABASE_URL_FILE.
WORKDIR /data
ENV HOST=0.0.0.0
VOLUME /data
EXPOSE 4000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/escrowgrid", "healthcheck"]
ENTRYPOINT ["/escrowgrid"]
CMD ["serve"]
