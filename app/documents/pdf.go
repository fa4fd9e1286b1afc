package documents

import "bytes"

func tooLarge() error {
	return &FieldError{"file", "文件过大：PDF 最大 5 MB。请压缩或分成几份。", "The file is too large: a PDF has at most 5 MB. Make it smaller, or send several."}
}

// IsPDF says whether a file begins as a PDF does.
func IsPDF(file []byte) bool { return bytes.HasPrefix(file, []byte("%PDF-")) }

// CheckPDF refuses what is no whole PDF, is locked by a password, or says
// openly that it does something when it is opened. Errors: [FieldError].
func CheckPDF(file []byte) error {
	if len(file) > MaxBytes {
		return tooLarge()
	}
	if !IsPDF(file) || !bytes.Contains(file[max(0, len(file)-2048):], []byte("%%EOF")) {
		return &FieldError{"file", "请上传 PDF、JPEG 或 PNG 文件；这个文件不是，或不完整。", "Send a PDF, JPEG or PNG file: this is none, or not whole."}
	}
	if bytes.Contains(file, []byte("/Encrypt")) {
		return &FieldError{"file", "PDF 设有密码，管理员无法查看；请去掉密码后上传。", "The PDF is locked with a password: remove it, so that the administrator can read it."}
	}
	for _, active := range []string{"/JavaScript", "/Launch", "/EmbeddedFile", "/RichMedia"} {
		if bytes.Contains(file, []byte(active)) {
			return &FieldError{"file", "PDF 含有脚本或附件，不能接收；请重新扫描或打印为 PDF。", "The PDF has a script or a file inside: scan it anew, or print it to PDF."}
		}
	}
	return nil
}
