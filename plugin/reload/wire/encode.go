package wire

import (
	"maps"
	"slices"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Each message's fields, written and read in one order.

// Type implements Message.
func (m *Hello) Type() Type { return TypeHello }

func (m *Hello) encode(e *encoder) {
	e.uint(m.Min)
	e.uint(m.Max)
	e.byte(byte(m.Role))
	e.text(m.Session)
	e.text(m.Owner)
}

func (m *Hello) decode(d *decoder) {
	m.Min, m.Max, m.Role, m.Session, m.Owner = d.uint(), d.uint(), Role(d.byte()), d.text(), d.text()
	if d.err == nil && (m.Role < Owner || m.Role > Observer) {
		d.fail("role %d", m.Role)
	}
}

// Type implements Message.
func (m *Welcome) Type() Type { return TypeWelcome }

func (m *Welcome) encode(e *encoder) {
	e.uint(m.Version)
	for _, s := range []string{m.Pod, m.PodUID, m.Container} {
		e.text(s)
	}
	e.uint(m.Generation)
	e.sum(m.Digest)
	e.flag(m.Receipt != nil)
	if m.Receipt != nil {
		m.Receipt.encode(e)
	}
}

func (m *Welcome) decode(d *decoder) {
	m.Version = d.uint()
	for _, s := range []*string{&m.Pod, &m.PodUID, &m.Container} {
		*s = d.text()
	}
	m.Generation, m.Digest = d.uint(), tree.Digest(d.sum())
	if d.flag() {
		m.Receipt = new(Receipt)
		m.Receipt.decode(d)
	}
}

// Type implements Message.
func (m *Prepare) Type() Type { return TypePrepare }

func (m *Prepare) encode(e *encoder) {
	e.uint(m.Generation)
	e.sum(m.Base)
	e.sum(m.Root)
	e.flag(m.More)
	e.flag(m.Again)
	e.flag(m.Alone)
	e.count(len(m.Deletes))
	for _, p := range m.Deletes {
		e.text(p)
	}
	e.count(len(m.Puts))
	for i := range m.Puts {
		m.Puts[i].encode(e)
	}
}

func (m *Prepare) decode(d *decoder) {
	m.Generation, m.Base, m.Root, m.More, m.Again, m.Alone = d.uint(), tree.Digest(d.sum()), tree.Digest(d.sum()), d.flag(), d.flag(), d.flag()
	for range d.count(1) {
		m.Deletes = append(m.Deletes, d.text())
	}
	n := d.count(70) // the two sums and a byte for each other field
	for range n {
		var p Put
		p.decode(d)
		m.Puts = append(m.Puts, p)
	}
}

func (p *Put) encode(e *encoder) {
	e.text(p.Path)
	e.byte(byte(p.Kind))
	e.size(p.Size)
	e.sum(p.Sum)
	e.text(p.Target)
	e.flag(p.Have)
	e.sum(p.Base)
	e.size(p.Offset)
	e.count(len(p.Parts))
	for _, part := range p.Parts {
		e.byte(byte(part.Op))
		e.size(part.Size)
		e.size(part.Offset)
		e.size(part.Extent)
		e.bytes(part.Data)
	}
}

func (p *Put) decode(d *decoder) {
	p.Path, p.Kind, p.Size, p.Sum, p.Target, p.Have, p.Base, p.Offset = d.text(), tree.Kind(d.byte()), d.size(), d.sum(), d.any(), d.flag(), d.sum(), d.size()
	if d.err == nil && !p.Kind.Valid() {
		d.fail("kind %d", p.Kind)
	}
	for range d.count(5) {
		part := Part{Op: Op(d.byte()), Size: d.size(), Offset: d.size(), Extent: d.size(), Data: d.bytes()}
		if d.err == nil && (part.Op < Raw || part.Op > Dict || part.Size == 0 || (part.Op != Copy && part.Size > MaxPart) || part.Extent > MaxPart) {
			d.fail("a part of op %d, size %d, extent %d", part.Op, part.Size, part.Extent)
		}
		p.Parts = append(p.Parts, part)
	}
}

// Type implements Message.
func (m *Staged) Type() Type { return TypeStaged }

func (m *Staged) encode(e *encoder) {
	e.uint(m.Generation)
	e.sum(m.Digest)
}

func (m *Staged) decode(d *decoder) {
	m.Generation, m.Digest = d.uint(), tree.Digest(d.sum())
}

// Type implements Message.
func (m *Need) Type() Type { return TypeNeed }

func (m *Need) encode(e *encoder) {
	e.uint(m.Generation)
	e.count(len(m.Sums))
	for _, s := range m.Sums {
		e.sum(s)
	}
}

func (m *Need) decode(d *decoder) {
	m.Generation = d.uint()
	for range d.count(32) {
		m.Sums = append(m.Sums, d.sum())
	}
}

// Type implements Message.
func (m *Refused) Type() Type { return TypeRefused }

func (m *Refused) encode(e *encoder) {
	e.uint(m.Generation)
	e.text(m.Code)
	e.count(len(m.Fields))
	for _, k := range slices.Sorted(maps.Keys(m.Fields)) {
		e.text(k)
		e.text(m.Fields[k])
	}
}

func (m *Refused) decode(d *decoder) {
	m.Generation, m.Code = d.uint(), d.text()
	last := ""
	for i := range d.count(2) {
		k := d.text()
		if i > 0 && k <= last {
			d.fail("fields out of order")
			return
		}
		if m.Fields == nil {
			m.Fields = map[string]string{}
		}
		m.Fields[k], last = d.text(), k
	}
}

// Type implements Message.
func (m *Commit) Type() Type { return TypeCommit }

func (m *Commit) encode(e *encoder) {
	e.uint(m.Generation)
	e.byte(byte(m.Action))
	e.count(len(m.Signals))
	for _, s := range m.Signals {
		e.text(s)
	}
	e.text(m.Run)
	e.flag(m.Pipelined)
}

func (m *Commit) decode(d *decoder) {
	m.Generation, m.Action = d.uint(), Action(d.byte())
	if d.err == nil && (m.Action < Keep || m.Action > Restart) {
		d.fail("action %d", m.Action)
	}
	for range d.count(1) {
		m.Signals = append(m.Signals, d.text())
	}
	m.Run, m.Pipelined = d.text(), d.flag()
}

// Type implements Message.
func (m *Running) Type() Type        { return TypeRunning }
func (m *Running) encode(e *encoder) { m.Receipt.encode(e) }
func (m *Running) decode(d *decoder) { m.Receipt.decode(d) }

// Type implements Message.
func (m *Exited) Type() Type { return TypeExited }

func (m *Exited) encode(e *encoder) {
	e.uint(m.Generation)
	e.number(m.PID, 0)
	e.number(m.Code, 0)
	e.text(m.Message)
}

func (m *Exited) decode(d *decoder) {
	m.Generation, m.PID, m.Code, m.Message = d.uint(), d.number(0), d.number(0), d.text()
}

// Type implements Message.
func (m *Notice) Type() Type        { return TypeNotice }
func (m *Notice) encode(e *encoder) { e.text(m.Text) }
func (m *Notice) decode(d *decoder) { m.Text = d.text() }

// Type implements Message.
func (m *Verify) Type() Type      { return TypeVerify }
func (m *Verify) encode(*encoder) {}
func (m *Verify) decode(*decoder) {}

// Type implements Message.
func (m *Verified) Type() Type { return TypeVerified }

func (m *Verified) encode(e *encoder) {
	e.uint(m.Generation)
	e.sum(m.Digest)
	e.number(m.Total, 0)
	e.count(len(m.Differences))
	for _, x := range m.Differences {
		e.text(x.Path)
		e.text(x.What)
	}
}

func (m *Verified) decode(d *decoder) {
	m.Generation, m.Digest, m.Total = d.uint(), tree.Digest(d.sum()), d.number(0)
	for range d.count(2) {
		m.Differences = append(m.Differences, Difference{Path: d.text(), What: d.text()})
	}
}

// Type implements Message.
func (m *Ping) Type() Type      { return TypePing }
func (m *Ping) encode(*encoder) {}
func (m *Ping) decode(*decoder) {}

// Type implements Message.
func (m *Pong) Type() Type      { return TypePong }
func (m *Pong) encode(*encoder) {}
func (m *Pong) decode(*decoder) {}
