package smi

// layout is how wide a driver's table is, and what its headings are.
type layout struct {
	version string // format of its first line: of the tool, the driver, CUDA
	corner  string // of the line below it
	head    []string
	columns []int
	name    int    // longest name
	cut     string // the end of a longer one
	rows    [3]string
	memory  int // digits of a board's memory

	migHead    []string
	migColumns []int
	migRow     string // format of memory and of BAR1

	processHead []string
	processRow  string
}

// wide is the width between the frame's sides.
func (l layout) wide() int {
	sum := len(l.columns) - 1
	for _, c := range l.columns {
		sum += c
	}
	return sum
}

// layouts by the first driver that has them. Those of 515 and 535 are read from
// tables that users of these drivers have published; the one of 610 differs
// from its forerunner's in the first line.
var layouts = map[int]layout{515: layout515, 535: layout535, 580: layout580, 610: withVersion(layout580, "KMD Version: %-13s CUDA UMD Version: %-8s")}

func layoutOf(form int) layout {
	found := layout515
	for _, c := range captured {
		if l, ok := layouts[c]; ok && c <= form {
			found = l
		}
	}
	return found
}

func withVersion(l layout, rest string) layout {
	l.version = "| NVIDIA-SMI %-22s " + rest + " |"
	return l
}

var layout515 = layout{
	version: "| NVIDIA-SMI %-12s Driver Version: %-12s CUDA Version: %-8s |",
	corner:  "|",
	head: []string{
		"| GPU  Name        Persistence-M| Bus-Id        Disp.A | Volatile Uncorr. ECC |",
		"| Fan  Temp  Perf  Pwr:Usage/Cap|         Memory-Usage | GPU-Util  Compute M. |",
		"|                               |                      |               MIG M. |",
	},
	columns: []int{31, 22, 22},
	name:    18, cut: "...",
	rows: [3]string{
		"| %3d  %-18s  %-3s  |%17s %-3s |%21s |",
		"| %-4s%5s    %-3s%6s / %4s |%21s |%8s %12s |",
		"| %29s | %20s | %20s |",
	},
	memory: 5,
	migHead: []string{
		"| GPU  GI  CI  MIG |         Memory-Usage |        Vol|         Shared        |",
		"|      ID  ID  Dev |           BAR1-Usage | SM     Unc| CE  ENC  DEC  OFA  JPG|",
		"|                  |                      |        ECC|                       |",
	},
	migColumns: []int{18, 22, 11, 23},
	migRow:     "%7dMiB / %-9s",
	processHead: []string{
		"|  GPU   GI   CI        PID   Type   Process name                  GPU Memory |",
		"|        ID   ID                                                   Usage      |",
	},
	processRow: "|%5d   %s  %s %9d %6s   %-30s%7dMiB |",
}

var layout535 = layout{
	version: "| NVIDIA-SMI %-22s Driver Version: %-12s CUDA Version: %-8s |",
	corner:  "|",
	head: []string{
		"| GPU  Name                 Persistence-M | Bus-Id        Disp.A | Volatile Uncorr. ECC |",
		"| Fan  Temp   Perf          Pwr:Usage/Cap |         Memory-Usage | GPU-Util  Compute M. |",
		"|                                         |                      |               MIG M. |",
	},
	columns: []int{41, 22, 22},
	name:    27, cut: " ...",
	rows: [3]string{
		"| %3d  %-31s%-3s |%17s %-3s |%21s |",
		"| %-4s%5s    %-4s%15s / %4s |%21s |%8s %12s |",
		"| %39s | %20s | %20s |",
	},
	memory: 5,
	migHead: []string{
		"| GPU  GI  CI  MIG |                   Memory-Usage |        Vol|      Shared           |",
		"|      ID  ID  Dev |                     BAR1-Usage | SM     Unc| CE ENC DEC OFA JPG    |",
		"|                  |                                |        ECC|                       |",
	},
	migColumns: []int{18, 32, 11, 23},
	migRow:     "%16dMiB / %-10s",
	processHead: []string{
		"|  GPU   GI   CI        PID   Type   Process name                            GPU Memory |",
		"|        ID   ID                                                             Usage      |",
	},
	processRow: "|%5d   %s  %s %9d %6s   %-40s%7dMiB |",
}

var layout580 = layout{
	version: "| NVIDIA-SMI %-22s Driver Version: %-14s CUDA Version: %-8s |",
	corner:  "+",
	head: []string{
		"| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |",
		"| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |",
		"|                                         |                        |               MIG M. |",
	},
	columns: []int{41, 24, 22},
	name:    27, cut: " ...",
	rows: [3]string{
		"| %3d  %-31s%-3s |%19s %-3s |%21s |",
		"| %-4s%5s    %-4s%14s / %5s |%23s |%8s %12s |",
		"| %39s | %22s | %20s |",
	},
	memory: 6,
	migHead: []string{
		"| GPU  GI  CI  MIG |              Shared Memory-Usage |        Vol|        Shared         |",
		"|      ID  ID  Dev |                Shared BAR1-Usage | SM     Unc| CE ENC  DEC  OFA  JPG |",
		"|                  |                                  |        ECC|                       |",
	},
	migColumns: []int{18, 34, 11, 23},
	migRow:     "%16dMiB / %-12s",
	processHead: []string{
		"|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |",
		"|        ID   ID                                                               Usage      |",
	},
	processRow: "|%5d   %s  %s %15d %6s   %-36s%7dMiB |",
}
