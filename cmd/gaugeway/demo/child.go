package demo

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// child is the gateway under demonstration: this program, run a second time, so
// that a kill -9 is one.
type child struct {
	command []string
	log     *os.File

	mu      sync.Mutex
	running *exec.Cmd
	ended   chan struct{} // closed when running has ended
}

// newChild prepares `gaugeway run -c config`. runner is put before it, where a
// foreign processor is emulated.
func newChild(runner, config, log string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	command := append(strings.Fields(runner), self, "run", "--config", config)
	return &child{command: command, log: f}, nil
}

func (c *child) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	cmd := exec.Command(c.command[0], c.command[1:]...)
	cmd.Stderr, cmd.Stdout = c.log, c.log
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET=")
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the gateway: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}()
	c.running, c.ended = cmd, ended
	return nil
}

// kill ends the gateway as a power cut of the process would, and waits for that.
func (c *child) kill() { c.end(func(p *os.Process) error { return p.Kill() }) }

// stop ends the gateway in order; one that does not end in time is killed.
func (c *child) stop() { c.end(func(p *os.Process) error { return p.Signal(os.Interrupt) }) }

const stopTimeout = 20 * time.Second

func (c *child) end(how func(*os.Process) error) {
	c.mu.Lock()
	cmd, ended := c.running, c.ended
	c.running = nil
	c.mu.Unlock()
	if cmd == nil {
		return
	}
	if err := how(cmd.Process); err != nil {
		return // it has ended already
	}
	select {
	case <-ended:
	case <-time.After(stopTimeout):
		_ = cmd.Process.Kill()
		<-ended
	}
}

func (c *child) alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		return false
	}
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

const logTail = 2000 // bytes

// childLog returns the end of what the gateway wrote.
func (s *stage) childLog() string {
	text, err := os.ReadFile(s.child.log.Name())
	if err != nil {
		return ""
	}
	return string(text[max(0, len(text)-logTail):])
}
