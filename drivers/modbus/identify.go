package modbus

import (
	"context"
	"strings"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

// Identity is one thing that an instrument says of itself.
type Identity struct {
	Name  string `json:"name"` // vendor, product, revision, …
	Value string `json:"value"`
}

// identityNames are of the objects that have a meaning (application protocol, 6.21).
var identityNames = [...]string{"vendor", "product", "revision", "vendor url", "product name", "model", "application"}

// asker does one transaction, as a Client does.
type asker interface {
	Do(ctx context.Context, unit byte, r wire.Request) ([]byte, error)
}

// Identify asks an instrument what it is. Many do not know the question; their
// refusal is the error.
func Identify(ctx context.Context, c asker, unit byte) ([]Identity, error) {
	var all []Identity
	regular, from := true, byte(0)
	for range 2 * len(identityNames) { // one that always has more to say is left
		data, err := c.Do(ctx, unit, wire.IdentityRequest(regular, from))
		if err != nil && regular && len(all) == 0 && ctx.Err() == nil && isException(err) {
			regular = false
			continue
		}
		if err != nil {
			return all, err
		}
		objects, next, more := wire.Objects(data)
		for _, o := range objects {
			if text := strings.TrimRight(o.Text, " \x00"); text != "" && int(o.ID) < len(identityNames) {
				all = append(all, Identity{identityNames[o.ID], strings.ToValidUTF8(text, "\uFFFD")})
			}
		}
		if !more || next <= from {
			break
		}
		from = next
	}
	return all, nil
}

func isException(err error) bool {
	_, is := err.(wire.Exception) //nolint:errorlint // the engine returns it bare
	return is
}

// Identify asks a device what it is, between what Run does. It is safe for
// concurrent use.
func (d *Driver) Identify(ctx context.Context, device string) ([]Identity, error) {
	dev, err := d.deviceOf(device)
	if err != nil {
		return nil, err
	}
	return Identify(ctx, lineAsker{d, dev}, dev.unit.id)
}

// lineAsker asks through the goroutine that polls.
type lineAsker struct {
	d   *Driver
	dev *device
}

func (a lineAsker) Do(ctx context.Context, _ byte, r wire.Request) ([]byte, error) {
	res, err := a.d.ask(ctx, a.dev.unit, r)
	if err != nil {
		return nil, err
	}
	return res.data, res.err
}
