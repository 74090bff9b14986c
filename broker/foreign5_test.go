package broker

import "testing"

// TestMosquittoFive has Mosquitto's clients speak MQTT 5 with the broker, and
// 3.1.1 beside it.
func TestMosquittoFive(t *testing.T) {
	b, port := serve(t, "", Options{}, nil)
	b.Publish("ready", []byte("yes"), true)
	five := start(t, "mosquitto_sub", port, "-V", "mqttv5", "-v", "-q", "1", "-t", "a/#", "-t", "ready", "-D", "subscribe", "subscription-identifier", "42",
		"-F", "%t %p %q %r ct=%C rt=%R cd=%D up=%P")
	five.line("ready yes 0 1 ct= rt= cd= up=")
	old := start(t, "mosquitto_sub", port, "-V", "mqttv311", "-q", "1", "-t", "a/#", "-t", "ready", "-F", "%t %p %q")
	old.line("ready yes 0")
	run(t, "mosquitto_pub", port, "-V", "mqttv5", "-q", "1", "-t", "a/b", "-m", "x", "-D", "publish", "content-type", "text/plain",
		"-D", "publish", "response-topic", "answers", "-D", "publish", "correlation-data", "17", "-D", "publish", "user-property", "k", "v")
	five.line("a/b x 1 0 ct=text/plain rt=answers cd=17 up=k:v")
	old.line("a/b x 1")
	run(t, "mosquitto_pub", port, "-V", "mqttv311", "-q", "2", "-t", "a/c", "-m", "y")
	five.line("a/c y 1 0 ct= rt= cd= up=")
	old.line("a/c y 1")
}

// TestMosquittoFiveSharesAndExpires has two of Mosquitto's clients share what is
// published, and one miss what expired while it was away.
func TestMosquittoFiveSharesAndExpires(t *testing.T) {
	b, port := serve(t, "", Options{}, nil)
	b.Publish("ready", []byte("yes"), true)
	var shared [2]*started
	for i := range shared {
		shared[i] = start(t, "mosquitto_sub", port, "-V", "mqttv5", "-t", "$share/g/work", "-t", "ready", "-F", "%p")
		shared[i].line("yes")
	}
	for _, m := range []string{"1", "2"} {
		run(t, "mosquitto_pub", port, "-V", "mqttv5", "-t", "work", "-m", m)
	}
	shared[1].line("1")
	shared[0].line("2")
	run(t, "mosquitto_sub", port, "-V", "mqttv5", "-c", "-i", "away", "-x", "60", "-q", "1", "-t", "t", "-E")
	run(t, "mosquitto_pub", port, "-V", "mqttv5", "-q", "1", "-t", "t", "-m", "gone", "-D", "publish", "message-expiry-interval", "0")
	run(t, "mosquitto_pub", port, "-V", "mqttv5", "-q", "1", "-t", "t", "-m", "there", "-D", "publish", "message-expiry-interval", "60")
	if got := run(t, "mosquitto_sub", port, "-V", "mqttv5", "-c", "-i", "away", "-x", "60", "-q", "1", "-t", "t", "-C", "1"); got != "there\n" {
		t.Errorf("printed %q", got)
	}
}
