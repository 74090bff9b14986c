package broker

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// withUser are options with one user.
func withUser(t testing.TB, name, password string, publish, subscribe []string) Options {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Users: map[string]User{name: {PasswordHash: string(hash), Publish: publish, Subscribe: subscribe}}}
}

func login3(user, password string) []byte {
	return connectFlags(connectClean|connectUser|connectPassword, 0, "id-"+user, user, password)
}

var notAuthorized = hx("20 02 00 05")

func TestLogin(t *testing.T) {
	o := withUser(t, "hmi", "secret", nil, nil)
	yes, no := true, false
	o.Listeners = map[string]Listener{
		"local":  {},
		"closed": {Address: "127.0.0.1:1884", AllowAnonymous: &no},
		"plant":  {Address: "10.0.0.1:1883"},
		"open":   {Address: "0.0.0.0:1885", AllowAnonymous: &yes},
	}
	good, bad, nobody, anonymous := login3("hmi", "secret"), login3("hmi", "Secret"), login3("eve", "secret"), connectPacket("anonymous", true)
	noPassword := connectFlags(connectClean|connectUser, 0, "n", "hmi")
	for _, c := range []struct {
		listener string
		connect  []byte
		ok       bool
		late     time.Duration
	}{
		{"local", good, true, 0}, {"local", good, true, 0}, {"local", bad, false, loginDelay}, {"local", nobody, false, loginDelay}, {"local", anonymous, true, 0},
		{"local", noPassword, false, loginDelay},
		{"closed", good, true, 0}, {"closed", bad, false, loginDelay}, {"closed", anonymous, false, 0},
		{"plant", good, true, 0}, {"plant", bad, false, loginDelay}, {"plant", anonymous, false, 0},
		{"open", good, true, 0}, {"open", bad, false, loginDelay}, {"open", anonymous, true, 0},
		{"no such listener", anonymous, false, 0},
	} {
		bubbleWith(t, "", o, nil, func(t *testing.T, b *Broker) {
			client, server := net.Pipe()
			go b.Serve(server, c.listener)
			p := &peer{t: t, nc: client}
			go p.collect()
			defer client.Close()
			p.send(c.connect)
			if c.late > 0 {
				time.Sleep(c.late - 1)
				p.expect()
				time.Sleep(1)
			}
			if c.ok {
				p.expect(accepted)
			} else {
				p.ends(notAuthorized)
			}
		})
	}
}

// Without users a user name is as good as none.
func TestLoginWithoutUsers(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b)
		p.send(login3("anybody", "x"))
		p.expect(accepted)
	})
}

// Who guesses passwords keeps a client that was there before from nothing.
func TestGuessingHoldsNobodyUp(t *testing.T) {
	bubbleWith(t, "", withUser(t, "hmi", "secret", nil, nil), nil, func(t *testing.T, b *Broker) {
		p := join(t, b)
		p.send(login3("hmi", "secret"))
		p.expect(accepted)
		var eves []*peer
		for i := range 50 {
			eve := join(t, b)
			eve.send(login3("hmi", fmt.Sprint("guess", i)))
			eves = append(eves, eve)
		}
		synctest.Wait()
		p = join(t, b)
		p.send(login3("hmi", "secret"))
		p.expect(accepted)
		time.Sleep(b.limits.connectTimeout + loginDelay)
		for _, eve := range eves {
			eve.ends(notAuthorized)
		}
		if n := len(b.login.hosts); n != 0 {
			t.Errorf("%d hosts are remembered", n)
		}
		if st := b.Stats(); st.RefusedLogins != 50 {
			t.Errorf("%d refused", st.RefusedLogins)
		}
	})
}

func TestPublishList(t *testing.T) {
	bubbleWith(t, "", withUser(t, "hmi", "secret", []string{"hmi/#"}, nil), nil, func(t *testing.T, b *Broker) {
		q := enter(t, b, "q")
		q.subscribe("#", 0)
		p := join(t, b)
		p.send(connectFlags(connectClean|connectUser|connectPassword|connectWill, 0, "a", "other/will", "x", "hmi", "secret"))
		p.expect(accepted)
		p.send(pub(2, 1, "hmi/x", "1"), pub(2, 2, "other", "2"), pub(4, 3, "other", "3"))
		p.expect(ackPacket(typePuback, 1), ackPacket(typePuback, 2), ackPacket(typePubrec, 3))
		p.nc.Close() // nor may its will
		q.expect(pub(0, 0, "hmi/x", "1"))
		if st := b.Stats(); st.Refused != 3 {
			t.Errorf("%d refused", st.Refused)
		}
	})
}

func TestSubscribeList(t *testing.T) {
	bubbleWith(t, "", withUser(t, "hmi", "secret", []string{}, []string{"a/#", "b/+/c"}), nil, func(t *testing.T, b *Broker) {
		p := join(t, b)
		p.send(login3("hmi", "secret"))
		p.expect(accepted)
		for filter, code := range map[string]byte{"a/x": 0, "a/#": 0, "a": 0, "b/+/c": 0, "#": 0x80, "b/#": 0x80, "+/x": 0x80, "$SYS/#": 0x80} {
			p.send(subscribePacket(1, filter, 0))
			p.expect([]byte{0x90, 3, 0, 1, code})
		}
		p.send(pub(2, 1, "a/x", "1")) // an empty list allows nothing
		p.expect(ackPacket(typePuback, 1))
	})
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		allowed, filter string
		want            bool
	}{
		{"#", "#", true}, {"#", "a/+/#", true}, {"#", "$SYS/#", false}, {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/broker/+", true},
		{"a/#", "a", true}, {"a/#", "a/#", true}, {"a/#", "+/#", false}, {"a/+", "a/b", true}, {"a/+", "a/+", true}, {"a/+", "a/#", false},
		{"a/+", "a", false}, {"a", "a/b", false}, {"a/b", "a/+", false}, {"+", "a", true}, {"+", "#", false}, {"a/+/#", "a/b", true},
	} {
		if got := covers(c.allowed, c.filter); got != c.want {
			t.Errorf("covers(%q, %q) = %v", c.allowed, c.filter, got)
		}
	}
}

// A client of another user does not get at a session.
func TestSessionBelongsToItsUser(t *testing.T) {
	bubbleWith(t, "", withUser(t, "hmi", "secret", nil, nil), nil, func(t *testing.T, b *Broker) {
		p := join(t, b)
		p.send(connectFlags(connectUser|connectPassword, 0, "a", "hmi", "secret"))
		p.expect(accepted)
		p.subscribe("t", 1)
		eve := join(t, b)
		eve.send(connectPacket("a", false)) // anonymous
		eve.ends(hx("20 02 00 02"))
		p.lives()
		p.nc.Close()
		p.got()
		eve = resume(t, b, "a", 0)
		eve.send(pub(2, 1, "t", "1"))
		eve.expect(ackPacket(typePuback, 1))
	})
}
