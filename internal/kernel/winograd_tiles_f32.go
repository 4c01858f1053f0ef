package kernel

import "unsafe"

// winogradTiles are images cut into tiles for a transform of which the pixels of a tile are
// the source: squares of size pixels whose corners are m pixels apart. Tile 0 begins top
// rows above and left pixels before the image; what lies outside is zero. Tiles are counted
// along rows, then down, then over images.
type winogradTiles struct {
	kernel *winogradKernelF32
	pass   winogradPass
	size   int

	height, width, channels, stride int // of an image; elements from pixel to pixel
	top, left                       int
	down, across                    int // tiles of an image
}

// winogradRun bounds the tiles of one row that a call transforms.
const winogradRun = 8

// patchLen returns how many values a run of tiles with its border has.
func (w *winogradTiles) patchLen() int {
	run := min(w.across, winogradRun)
	return w.size * ((run-1)*w.kernel.m + w.size) * w.channels
}

// transform transforms count tiles from the given one on. Values of tile i go to dst+i·pitch
// in the first matrix, and matrix elements further in each of the next.
func (w *winogradTiles) transform(dst []float32, pitch, matrix int, src unsafe.Pointer, buffer, patch []float32, first, count int) {
	m := w.kernel.m
	args := winogradTileF32{srcStep: 4 * m * w.stride, dstRow: 4 * matrix, dstStep: 4 * pitch, buffer: unsafe.Pointer(&buffer[0]), channels: w.channels}
	// Tiles of a row whose columns are all inside.
	inside, end := (w.left+m-1)/m, 0
	if w.width+w.left >= w.size {
		end = (w.width+w.left-w.size)/m + 1
	}
	for at := 0; at < count; at += args.tiles {
		tile := first + at
		image, y, tx := tile/w.across/w.down, tile/w.across%w.down*m-w.top, tile%w.across
		x, n := tx*m-w.left, min(count-at, w.across-tx, winogradRun)
		args.dst = unsafe.Pointer(&dst[at*pitch])
		if rows := y >= 0 && y+w.size <= w.height; rows && tx >= inside && tx < end {
			args.tiles = min(n, end-tx)
			args.src = unsafe.Add(src, ((image*w.height+y)*w.width+x)*w.stride*4)
			args.srcRow, args.srcCol, args.srcStep = w.width*w.stride*4, w.stride*4, m*w.stride*4
		} else {
			if rows && tx < inside && inside < end {
				n = min(n, inside-tx)
			}
			args.tiles = n
			line := ((n-1)*m + w.size) * w.channels
			w.copyPatch(patch[:w.size*line], src, line, image, y, x)
			args.src = unsafe.Pointer(&patch[0])
			args.srcRow, args.srcCol, args.srcStep = line*4, w.channels*4, m*w.channels*4
		}
		args.run(w.kernel, w.pass)
	}
}

// copyPatch copies lines of pixels from (y, x) of an image on, with zeros beyond its edges.
func (w *winogradTiles) copyPatch(patch []float32, src unsafe.Pointer, length, image, y, x int) {
	c := w.channels
	width := length / c
	from, to := min(max(-x, 0), width), max(min(w.width-x, width), 0)
	for ; len(patch) > 0; patch, y = patch[length:], y+1 {
		line := patch[:length]
		if y < 0 || y >= w.height || from >= to {
			clear(line)
			continue
		}
		clear(line[:from*c])
		clear(line[to*c:])
		at := func(px int) unsafe.Pointer { return unsafe.Add(src, ((image*w.height+y)*w.width+x+px)*w.stride*4) }
		if w.stride == c {
			copy(line[from*c:to*c], unsafe.Slice((*float32)(at(from)), (to-from)*c))
			continue
		}
		for px := from; px < to; px++ {
			copy(line[px*c:(px+1)*c], unsafe.Slice((*float32)(at(px)), c))
		}
	}
}
