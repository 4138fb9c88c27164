package wire

import (
	"crypto/sha256"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// MaxFile bounds one file of a tree, in bytes: content is held in memory.
const MaxFile = 256 << 20

// smallest is the size from which compression is worth its time.
const smallest = 128

// Encode makes a content message. With a base, the earlier version of the
// file, only what differs is sent.
func Encode(sum [32]byte, content []byte, baseSum [32]byte, base []byte) (Content, error) {
	c := Content{Sum: sum, Bytes: content}
	if len(content) < smallest {
		return c, nil
	}
	options := []zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false)}
	if len(base) > 0 {
		options = append(options, zstd.WithEncoderDictRaw(0, base), zstd.WithWindowSize(window(len(base)+len(content))))
		c.Base = baseSum
	}
	encoder, err := zstd.NewWriter(nil, options...)
	if err != nil {
		return Content{}, fmt.Errorf("compress: %w", err)
	}
	packed := encoder.EncodeAll(content, nil)
	if len(packed) >= len(content) {
		return Content{Sum: sum, Bytes: content}, nil
	}
	c.Encoding, c.Bytes = EncodingZstd, packed
	return c, nil
}

// window returns the power of two that covers size, within zstd's bounds.
func window(size int) int {
	w := 1 << 20
	for w < size && w < 256<<20 {
		w <<= 1
	}
	return w
}

// Decode returns the content of a message whose parts were joined; base is
// the content that c.Base names. The result has the sum that was announced.
func Decode(c Content, base []byte) ([]byte, error) {
	content := c.Bytes
	switch c.Encoding {
	case EncodingRaw:
	case EncodingZstd:
		options := []zstd.DOption{zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxFile), zstd.WithDecoderMaxWindow(512 << 20)}
		if c.Base != [32]byte{} {
			options = append(options, zstd.WithDecoderDictRaw(0, base))
		}
		decoder, err := zstd.NewReader(nil, options...)
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		defer decoder.Close()
		if content, err = decoder.DecodeAll(c.Bytes, nil); err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
	default:
		return nil, fmt.Errorf("unknown encoding %d", c.Encoding)
	}
	if sha256.Sum256(content) != c.Sum {
		return nil, fmt.Errorf("content of %d bytes does not have the sum that was announced", len(content))
	}
	return content, nil
}
