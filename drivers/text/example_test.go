package text_test

import (
	"fmt"
	"time"

	"github.com/gaugeway/gaugeway/drivers/text"
	"github.com/gaugeway/gaugeway/gateway"
)

// A barometer that is asked for its pressure, described as its profile would.
func ExampleDecode() {
	o := text.DeviceOptions{
		Address: "01", Interval: time.Second,
		Frame: text.FrameOptions{End: `\r`},
		Polls: map[string]text.PollOptions{"pressure": {StepOptions: text.StepOptions{
			Send: `*{address}P1\r`, Match: `\?{address}CP=(?P<value>.*)`,
		}}},
		Tags: map[string]text.TagOptions{"pressure": {Field: "value", TagOptions: gateway.TagOptions{Unit: "psi"}}},
	}
	readings, err := text.Decode(o, "", []byte("*01P1\r"), []byte("?01CP=14.45\r"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range readings {
		fmt.Println(r.Tag.Name, r.Value, r.Tag.Unit, r.Quality)
	}
	// Output: pressure 14.45 psi good
}
