package gateway

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTracesAndUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var traces Traces
		if traces.Watched() {
			t.Error("nobody looks")
		}
		got := [2]int{}
		stop := [2]func(){}
		for i := range stop {
			stop[i] = traces.Watch(func(Frame) { got[i]++ })
		}
		traces.Show(Frame{})
		stop[0]()
		traces.Show(Frame{})
		stop[1]()
		stop[1]() // twice does no harm
		traces.Show(Frame{})
		if got != [2]int{1, 2} || traces.Watched() {
			t.Errorf("%v were shown, watched %t", got, traces.Watched())
		}

		var u Usage
		for range 120 { // a quarter of each second, for two minutes
			from := time.Now()
			time.Sleep(250 * time.Millisecond)
			u.Add(from, time.Now())
			time.Sleep(750 * time.Millisecond)
		}
		if share := u.Share(time.Now()); share < 0.24 || share > 0.26 {
			t.Errorf("in use %v", share)
		}
	})
}
