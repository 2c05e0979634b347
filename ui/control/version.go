package control

// Version is which program this is.
type Version struct {
	Module     string `json:"version"`            // of the module; (devel) for a tree without tags
	Program    string `json:"sha256,omitempty"`   // of the program's file, as dist lists them
	Revision   string `json:"revision,omitempty"` // of its sources, if the build knew it
	Modified   bool   `json:"modified,omitempty"` // the sources differed from the revision
	HomeFormat string `json:"home_format"`        // that it writes
	Go         string `json:"go"`                 // that built it
	System     string `json:"system"`             // such as linux/amd64
}
