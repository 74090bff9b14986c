package gateway

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ValidName reports what is wrong with the name of a site, line, device, tag or uplink.
func ValidName(s string) error {
	if s == "" || len(s) > 64 {
		return fmt.Errorf("name %q must have 1 to 64 characters", s)
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '_' && c != '-') {
			return fmt.Errorf("name %q may have letters, digits, _ and -, and begins with a letter or digit", s)
		}
	}
	return nil
}

var (
	errTopicLength = errors.New("must have 1 to 65535 bytes")
	errTopicText   = errors.New("must be UTF-8 without NUL")
)

// ValidTopic reports what is wrong with a topic name (MQTT 3.1.1, 4.7).
func ValidTopic(s string) error {
	if err := topicText(s); err != nil {
		return err
	}
	if strings.ContainsAny(s, "+#") {
		return errors.New("must not contain the wildcards + and #")
	}
	return nil
}

// ValidFilter reports what is wrong with a topic filter (MQTT 3.1.1, 4.7.1).
func ValidFilter(s string) error {
	if err := topicText(s); err != nil {
		return err
	}
	for rest, more := s, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if strings.Contains(level, "#") && (level != "#" || more) {
			return errors.New("may have # only as its whole last level")
		}
		if strings.Contains(level, "+") && level != "+" {
			return errors.New("may have + only as a whole level")
		}
	}
	return nil
}

func topicText(s string) error {
	if s == "" || len(s) > 65535 {
		return errTopicLength
	}
	if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
		return errTopicText
	}
	return nil
}

// MatchTopic reports whether a valid filter matches a valid topic. A wildcard
// at the first level does not match a topic that begins with $ ([MQTT-4.7.2-1]).
func MatchTopic(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false
	}
	for {
		f, filterRest, filterMore := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		t, topicRest, topicMore := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		if !topicMore {
			return !filterMore || filterRest == "#" // "a/#" matches "a" ([MQTT-4.7.1-2])
		}
		if !filterMore {
			return false
		}
		filter, topic = filterRest, topicRest
	}
}
