package sigdb

import "github.com/ketch-os/ketch/internal/guid"

// GUIDs of UEFI 2.10: 32.4.1, 8.2.6 and 3.3.
func certX509() guid.GUID { // EFI_CERT_X509_GUID
	return guid.MustParse("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
}
func certPKCS7() guid.GUID { // EFI_CERT_TYPE_PKCS7_GUID
	return guid.MustParse("4aafd29d-68df-49ee-8aa9-347d375665a7")
}
func globalVariable() guid.GUID { // EFI_GLOBAL_VARIABLE
	return guid.MustParse("8be4df61-93ca-11d2-aa0d-00e098032b8c")
}
func imageSecurityDatabase() guid.GUID { // EFI_IMAGE_SECURITY_DATABASE_GUID
	return guid.MustParse("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
}
