package text

import (
	"maps"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Validate names everything that is wrong, with keys like device.pump3.tag.pressure.field.
func (o Options) Validate() gateway.Faults {
	f := o.LineOptions.Validate()
	listener := ""
	for _, name := range slices.Sorted(maps.Keys(o.Devices)) {
		d := o.Devices[name]
		below := d.Validate()
		if err := gateway.ValidName(name); err != nil {
			below.Add("", "%v", err)
		}
		switch {
		case d.listens() && listener != "":
			below.Add("mode", "device %s of this line talks by itself already; a line has one such device", listener)
		case d.listens():
			listener = name
		}
		f.Under("device."+name, below)
	}
	if listener != "" && len(o.Devices) > 1 {
		f.Add("device."+listener+".mode", "an instrument that talks by itself has its line for itself; put the others on another line")
	}
	return f
}

// Validate names everything that is wrong.
func (o LineOptions) Validate() gateway.Faults {
	var f gateway.Faults
	if t := o.responseTimeout(); t < time.Millisecond || t > maxResponseTimeout {
		f.Add("response_timeout", "%s is not sensible; use 1ms to %s", t, maxResponseTimeout)
	}
	if n := o.retries(); n < 0 || n > maxRetries {
		f.Add("retries", "%d is not possible; use 0 to %d", n, maxRetries)
	}
	return f
}

// Validate names everything that is wrong; below tags with keys like tag.pressure.field.
func (o DeviceOptions) Validate() gateway.Faults {
	_, f := compile("device", o)
	if o.Interval != 0 {
		gateway.CheckInterval(&f, o.Interval)
	}
	checkDuration(&f, "response_timeout", o.ResponseTimeout, maxResponseTimeout)
	checkDuration(&f, "gap", o.Gap, maxPause)
	checkDuration(&f, "character_delay", o.CharacterDelay, 100*time.Millisecond)
	checkDuration(&f, "stale_after", o.StaleAfter, gateway.MaxInterval)
	if o.Retries != nil && (*o.Retries < 0 || *o.Retries > maxRetries) {
		f.Add("retries", "%d is not possible; use 0 to %d", *o.Retries, maxRetries)
	}
	modes := []string{modePoll, modeListen, modeStream}
	if o.Mode != "" && !slices.Contains(modes, o.Mode) {
		f.Add("mode", "%s", gateway.Unknown(o.Mode, "a mode", modes))
	}
	for _, wrong := range []struct {
		is        bool
		key, text string
	}{
		{o.listens() && o.Frame.isZero(), "frame", "is missing; an instrument that talks by itself needs the device's own"},
		{o.listens() && o.Frame.Length > 0 && o.Frame.Start == "" && (o.Checksum.Kind == "" || o.Checksum.Kind == "none"), "frame.length", "does not tell where a frame begins; an instrument that talks by itself needs a start or a checksum as well"},
		{o.Mode == modeListen && (o.Stop != nil || o.Wake != nil || len(o.Init) > 0), "mode", "a listener sends nothing; use mode = \"stream\" for what is started with init"},
		{o.Mode == modeStream && len(o.Init) == 0, "init", "is missing; it starts the stream, e.g. [device.NAME.init.1] send = 'R\\r'"},
		{o.Mode == modeStream && o.Wake != nil, "wake", "is for an instrument that is polled"},
		{o.StaleAfter != 0 && !o.listens(), "stale_after", "is for an instrument that talks by itself"},
	} {
		if wrong.is {
			f.Add(wrong.key, "%s", wrong.text)
		}
	}
	return f
}
