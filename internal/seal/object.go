package seal

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

// Type is the kind of an object; it stands in the object's header and is bound
// to its key.
type Type uint8

// The types. Their numbers are part of the format.
const (
	Config    Type = 1
	Session   Type = 2
	Segment   Type = 3
	Snapshot  Type = 4
	Pin       Type = 5
	Trash     Type = 6
	Condemned Type = 7
	Lease     Type = 8
	Activity  Type = 9
	Damage    Type = 10
	Setting   Type = 11
)

var typeNames = [...]string{Config: "config", Session: "session", Segment: "index segment", Snapshot: "snapshot",
	Pin: "pin", Trash: "trash record", Condemned: "condemned list", Lease: "lease", Activity: "activity",
	Damage: "damage record", Setting: "setting"}

// String returns the type's name in words.
func (t Type) String() string {
	if !t.valid() {
		return fmt.Sprintf("object type %d", uint8(t))
	}
	return typeNames[t]
}

func (t Type) valid() bool { return t > 0 && int(t) < len(typeNames) }

// headerSize is the number of bytes before the first frame. Config's header
// ends with the repository id, which is to be read before there is a key.
func (t Type) headerSize() int {
	if t == Config {
		return headerSize + len(RepositoryID{})
	}
	return headerSize
}

const (
	objectMagic = "HFOB"
	frameSize   = 64 << 10 // plaintext bytes of every frame but the last
	sealedFrame = frameSize + Overhead
)

// Seal returns the object that holds plaintext under a name. Each call gives
// other bytes.
func (k *Keys) Seal(t Type, name string, plaintext []byte) ([]byte, error) {
	if !t.valid() {
		return nil, fmt.Errorf("seal %s: there is no %s", name, t)
	}
	salt, err := k.drawSalt()
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", name, err)
	}
	h := header{magic: objectMagic, kind: t, epoch: k.Newest(), salt: salt}
	aead, err := k.derive(h.epoch, h.salt[:], k.objectInfo(t, name))
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", name, err)
	}
	frames := max(1, (len(plaintext)+frameSize-1)/frameSize)
	object := make([]byte, 0, t.headerSize()+len(plaintext)+frames*Overhead)
	object = h.append(object)
	if t == Config {
		object = append(object, k.root.Repository[:]...)
	}
	f := framing{aead: aead, header: object[:len(object):len(object)], frames: int64(frames)}
	for i := range f.frames {
		n := min(frameSize, len(plaintext))
		object = f.seal(object, i, plaintext[:n])
		plaintext = plaintext[n:]
	}
	return object, nil
}

// Open returns the plaintext of a whole object.
func (k *Keys) Open(t Type, name string, object []byte) ([]byte, error) {
	f, err := k.framing(t, name, object[:min(len(object), t.headerSize())], int64(len(object)))
	if err != nil {
		return nil, Named(name, err)
	}
	plaintext := make([]byte, 0, f.size)
	sealed := object[t.headerSize():]
	for i := range f.frames {
		n := min(sealedFrame, len(sealed))
		if plaintext, err = f.open(plaintext, i, sealed[:n]); err != nil {
			return nil, Named(name, err)
		}
		sealed = sealed[n:]
	}
	return plaintext, nil
}

// ConfigHeader returns which repository a config object belongs to. It needs no
// key, so it proves nothing: opening the object does.
func ConfigHeader(object []byte) (RepositoryID, error) {
	if len(object) < Config.headerSize() {
		return RepositoryID{}, Named("config", damaged("%d bytes, shorter than its header", len(object)))
	}
	h, err := parseHeader(objectMagic, object)
	if err == nil && h.kind != Config {
		err = damaged("it is a %s", h.kind)
	}
	if err != nil {
		return RepositoryID{}, Named("config", err)
	}
	return RepositoryID(object[headerSize:Config.headerSize()]), nil
}

// objectInfo is the HKDF info of an object: only its last part varies in length,
// so no two objects share one.
func (k *Keys) objectInfo(t Type, name string) string {
	info := append([]byte("holdfast object"), byte(t), version)
	info = append(info, k.root.Repository[:]...)
	return string(append(info, name...))
}

// framing seals and opens the frames of one object.
type framing struct {
	aead   cipher.AEAD
	header []byte // the additional data of every frame
	frames int64
	size   int64 // of the plaintext
}

// framing checks the header of an object of the given size and derives its key.
func (k *Keys) framing(t Type, name string, head []byte, size int64) (*framing, error) {
	h, err := parseHeader(objectMagic, head)
	if err != nil {
		return nil, err
	}
	if h.kind != t || !t.valid() {
		return nil, damaged("it is a %s, not a %s", h.kind, t)
	}
	if len(head) < t.headerSize() {
		return nil, damaged("%d bytes, shorter than its header", len(head))
	}
	if t == Config && RepositoryID(head[headerSize:]) != k.root.Repository {
		return nil, damaged("it belongs to repository %s, the key to %s", RepositoryID(head[headerSize:]), k.root.Repository)
	}
	body := size - int64(t.headerSize())
	frames := (body + sealedFrame - 1) / sealedFrame
	last := body - (frames-1)*sealedFrame
	// Only a single frame may be empty, else one plaintext had two forms.
	if frames < 1 || last < Overhead || frames > 1 && last == Overhead {
		return nil, damaged("it ends inside a frame")
	}
	aead, err := k.derive(h.epoch, h.salt[:], k.objectInfo(t, name))
	if err != nil {
		return nil, err
	}
	return &framing{aead: aead, header: head, frames: frames, size: body - frames*Overhead}, nil
}

// nonce is u32 zero, u56 the frame's place, u8 whether it is the last.
func (f *framing) nonce(frame int64) []byte {
	var n [nonceSize]byte
	binary.BigEndian.PutUint64(n[4:], uint64(frame)<<8)
	if frame == f.frames-1 {
		n[11] = 1
	}
	return n[:]
}

func (f *framing) seal(dst []byte, frame int64, plaintext []byte) []byte {
	return f.aead.Seal(dst, f.nonce(frame), plaintext, f.header)
}

func (f *framing) open(dst []byte, frame int64, sealed []byte) ([]byte, error) {
	plaintext, err := f.aead.Open(dst, f.nonce(frame), sealed, f.header)
	if err != nil {
		return nil, damaged("frame %d of %d does not open", frame+1, f.frames)
	}
	return plaintext, nil
}
