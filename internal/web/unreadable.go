package web

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
)

// Unreadable makes the answer to a request that net/http refuses before any handler has it:
// what is no HTTP, or too much of it, or in another version. The status is net/http's.
type Unreadable func(status int, client netip.Addr) (header http.Header, content []byte)

// AnswerUnreadable has the connections of a listener give such answers, where net/http would
// write a line of text that nobody logs or counts.
func AnswerUnreadable(listener net.Listener, answer Unreadable) net.Listener {
	return unreadableListener{Listener: listener, answer: answer}
}

type unreadableListener struct {
	net.Listener
	answer Unreadable
}

// Accept implements net.Listener.
func (l unreadableListener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	tcp, ok := accepted.(*net.TCPConn)
	if !ok {
		return accepted, err
	}
	return &unreadableConn{TCPConn: tcp, answer: l.answer}, nil
}

// unreadableConn keeps all else that net/http uses of a TCP connection.
type unreadableConn struct {
	*net.TCPConn
	answer Unreadable
}

// Write implements net.Conn.
func (c *unreadableConn) Write(text []byte) (int, error) {
	status := unreadableStatus(text)
	if status == 0 {
		return c.TCPConn.Write(text)
	}

	// Of an address that is none the client is nobody.
	client, _ := netip.ParseAddrPort(c.RemoteAddr().String())
	header, content := c.answer(status, client.Addr().Unmap())
	response := http.Response{
		StatusCode:    status,
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		ContentLength: int64(len(content)),
		Body:          io.NopCloser(bytes.NewReader(content)),
		Close:         true,
	}
	if err := response.Write(c.TCPConn); err != nil {
		return 0, err
	}
	return len(text), nil
}

// unreadableStatus returns the status of an answer that net/http has made up itself, and 0 of
// any other. It writes each in one piece: with these headers alone, or as 417, which no handler
// of ours answers.
func unreadableStatus(answer []byte) int {
	const protocol, statusLength, headers = "HTTP/1.1 ", 3, "Content-Type: text/plain; charset=utf-8\r\n" +
		"Connection: close\r\n\r\n"
	if len(answer) < len(protocol)+statusLength || answer[len(protocol)] < '4' {
		return 0
	}

	status := string(answer[len(protocol):][:statusLength])
	_, rest, _ := bytes.Cut(answer, []byte("\r\n"))
	isRefusal := bytes.HasPrefix(rest, []byte(headers)) || status == strconv.Itoa(http.StatusExpectationFailed)
	if !bytes.HasPrefix(answer, []byte("HTTP/1.")) || !isRefusal {
		return 0
	}
	code, _ := strconv.Atoi(status) // What is no number is no status.
	return code
}
