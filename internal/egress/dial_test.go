package egress_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/escrowgrid/escrowgrid/internal/egress"
)

// nameServer is a server of the DNS.
type nameServer struct {
	connection net.PacketConn
	// answer gives the addresses of any name, each time that it is asked for them. Without any,
	// there is no answer.
	answer func(asked int) []netip.Addr

	mutex sync.Mutex
	// asked counts the questions for IPv4 addresses. A lookup asks for IPv6 ones beside them.
	asked int
	// resolvers are the ends of those that ask, which wait for an answer for seconds. They are closed
	// with the server.
	resolvers []net.Conn
	closed    bool
}

func newNameServer(t *testing.T, answer func(asked int) []netip.Addr) *nameServer {
	t.Helper()
	connection, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{connection: connection, answer: answer}
	var served sync.WaitGroup
	served.Go(func() { s.serve(t) })
	t.Cleanup(func() { s.close(); served.Wait() })
	return s
}

func (s *nameServer) close() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.connection.Close()
	for _, connection := range s.resolvers {
		connection.Close()
	}
	s.closed = true
}

func (s *nameServer) serve(t *testing.T) {
	packet := make([]byte, 4096)
	for {
		n, from, err := s.connection.ReadFrom(packet)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		var question dnsmessage.Message
		if err := question.Unpack(packet[:n]); err != nil || len(question.Questions) != 1 {
			t.Errorf("a question is %v, %v", question, err)
			continue
		}
		if reply := s.reply(t, question); reply != nil {
			s.connection.WriteTo(reply, from)
		}
	}
}

func (s *nameServer) reply(t *testing.T, question dnsmessage.Message) []byte {
	asked := question.Questions[0]
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: question.ID, Response: true, Authoritative: true, RecursionAvailable: true},
		Questions: question.Questions,
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if asked.Type == dnsmessage.TypeA {
		s.asked++
	}
	found := s.answer(s.asked)
	if found == nil {
		return nil
	}

	for _, address := range found {
		header := dnsmessage.ResourceHeader{Name: asked.Name, Type: asked.Type, Class: dnsmessage.ClassINET}
		switch {
		case asked.Type == dnsmessage.TypeA && address.Is4():
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: address.As4()}})
		case asked.Type == dnsmessage.TypeAAAA && address.Is6():
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: address.As16()}})
		}
	}
	packed, err := reply.Pack()
	if err != nil {
		t.Error(err)
	}
	return packed
}

func (s *nameServer) questions() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.asked
}

func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		if s.closed {
			return nil, net.ErrClosed
		}
		connection, err := new(net.Dialer).DialContext(ctx, "udp", s.connection.LocalAddr().String())
		if err == nil {
			s.resolvers = append(s.resolvers, connection)
		}
		return connection, err
	}}
}

func addresses(texts ...string) (parsed []netip.Addr) {
	for _, text := range texts {
		parsed = append(parsed, netip.MustParseAddr(text))
	}
	return parsed
}

func here(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here") }

// A name that is resolved a second time, for the connection, would lead to another address than
// the one that was checked.
func TestAConnectionIsMadeToTheAddressThatWasChecked(t *testing.T) {
	p := newPlace(t, here)
	names := newNameServer(t, func(asked int) []netip.Addr {
		if asked <= 1 {
			return addresses("127.0.0.1")
		}
		return addresses("127.0.0.2", "10.0.0.1")
	})
	config := p.config()
	config.Resolver = names.resolver()
	s := newSender(t, config)
	address := "https://rebinding.example.com:" + p.port

	if _, body, err := s.get(t, address); err != nil || body != "here" {
		t.Fatalf("it is answered %q, %v", body, err)
	}
	if asked := names.questions(); asked != 1 {
		t.Errorf("the name was resolved %d times", asked)
	}

	// The next connection is to what the name is then, and checked like the first.
	s.CloseIdleConnections()
	_, _, err := s.get(t, address)
	refusal := wantRefusal(t, err)
	if refusal.Host != "rebinding.example.com" || !refusal.Address.IsValid() || refusal.Address == netip.MustParseAddr("127.0.0.1") {
		t.Errorf("the refusal is %v", refusal)
	}
	if asked := names.questions(); asked != 2 {
		t.Errorf("the name was resolved %d times", asked)
	}
	s.wantOutcomes(t, map[string]float64{"succeeded": 1, "not_allowed": 1})
}

// The first address would be connected to, were it not left out: a server listens there, too.
func TestAddressesThatAreNotAllowedAreLeftOut(t *testing.T) {
	for name, found := range map[string][]netip.Addr{
		"private beside it":         addresses("10.255.255.1", "127.0.0.1"),
		"loopback beside it":        addresses("127.0.0.2", "127.0.0.1"),
		"link-local beside it":      addresses("169.254.169.254", "127.0.0.1"),
		"IPv6 loopback beside it":   addresses("::1", "127.0.0.1"),
		"unique local beside it":    addresses("fd00::1", "127.0.0.1"),
		"behind all that are wrong": addresses("10.255.255.1", "10.255.255.2", "fd00::1", "127.0.0.1"),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, here)
			config := p.config()
			config.Resolver = newNameServer(t, func(int) []netip.Addr { return found }).resolver()

			if _, body, err := newSender(t, config).get(t, "https://mixed.example.com:"+p.port); err != nil || body != "here" {
				t.Errorf("it is answered %q, %v", body, err)
			}
		})
	}
}

func TestANameOfNoAllowedAddressIsRefused(t *testing.T) {
	for name, found := range map[string][]netip.Addr{
		"loopback":       addresses("127.0.0.1"),
		"private":        addresses("10.0.0.1", "192.168.0.1"),
		"IPv6 loopback":  addresses("::1"),
		"unique local":   addresses("fd00::1"),
		"mapped":         addresses("::ffff:127.0.0.1"),
		"NAT64":          addresses("64:ff9b::7f00:1"),
		"6to4":           addresses("2002:7f00:1::1"),
		"of both kinds":  addresses("::1", "127.0.0.1"),
		"cloud metadata": addresses("169.254.169.254", "fd00:ec2::254"),
	} {
		t.Run(name, func(t *testing.T) {
			asked := false
			p := newPlace(t, func(http.ResponseWriter, *http.Request) { asked = true })
			s := newSender(t, egress.Config{
				RootCAs:  p.roots,
				Resolver: newNameServer(t, func(int) []netip.Addr { return found }).resolver(),
			})

			_, _, err := s.get(t, "https://inside.example.com:"+p.port)
			if refusal := wantRefusal(t, err); !refusal.Address.IsValid() || asked {
				t.Errorf("the refusal is %v, asked %v", refusal, asked)
			}
			s.wantOutcomes(t, map[string]float64{"not_allowed": 1})
		})
	}
}

func TestTheNextAddressIsTriedWhereOneDoesNotAnswer(t *testing.T) {
	p := newPlace(t, here)
	config := p.config()
	config.AllowedNetworks = networks("127.0.0.0/8")
	config.Resolver = newNameServer(t, func(int) []netip.Addr { return addresses("127.0.0.2", "127.0.0.1") }).resolver()
	s := newSender(t, config)

	if _, body, err := s.get(t, "https://down.example.com:"+p.port); err != nil || body != "here" {
		t.Errorf("it is answered %q, %v", body, err)
	}
}

// What is down is not what is not allowed: the one can be tried again.
func TestAPlaceThatIsDownIsNoRefusal(t *testing.T) {
	p := newPlace(t, here)
	config := p.config()
	config.Resolver = newNameServer(t, func(int) []netip.Addr { return addresses("10.0.0.1", "127.0.0.1") }).resolver()
	s := newSender(t, config)
	p.Close()

	_, _, err := s.get(t, "https://down.example.com:"+p.port)
	if err == nil || errors.Is(err, egress.ErrNotAllowed) {
		t.Errorf("the error is %v", err)
	}
	s.wantOutcomes(t, map[string]float64{"failed": 1})
}

func TestANameServerThatDoesNotAnswerIsWaitedForNoLongerThanTheBound(t *testing.T) {
	names := newNameServer(t, func(int) []netip.Addr { return nil })
	s := newSender(t, egress.Config{
		Bounds:   egress.Bounds{Connect: short, Exchange: long},
		Resolver: names.resolver(),
	})

	_, _, err := s.get(t, "https://silent.example.com/")
	var unresolved *net.DNSError
	if !errors.As(err, &unresolved) || !unresolved.IsTimeout {
		t.Errorf("the error is %v", err)
	}
	// The resolver itself would ask again, and then give up, too.
	if asked := names.questions(); asked > 1 {
		t.Errorf("the name server was asked %d times", asked)
	}
	s.wantOutcomes(t, map[string]float64{"timed_out": 1})
}
