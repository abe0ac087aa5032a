package licence

// licences are the ones known: a text with more words before one whose words it contains.
var licences = []known{
	{"Apache-2.0", parsePhrase("terms and conditions for use reproduction and distribution definitions license shall mean"),
		parsePhrase("of your accepting any such warranty or additional liability"), "48cc79821a287c2f0c76a60c1600f70cc80aa43c2a4724e54c24ddcfccf422e8"},
	{"Apache-2.0", parsePhrase(`licensed under the apache license version 2 0 the license you? may not use … except in compliance with the license
		you may obtain a copy of the license at http www apache org licenses license2 0
		unless required by applicable law or agreed to in writing software distributed under the license is distributed on an as is basis
		without warranties or conditions of any kind either express or implied
		see the license for the specific language governing permissions and limitations under the license`), nil, ""},
	{"MPL-2.0", parsePhrase("definitions contributor means each individual"),
		parsePhrase("incompatible with secondary licenses as defined by the mozilla public license v 2 0"), "9dc927669e9575b07d91de4074ffbc68907eb64f96b267a3155c3757486f9be0"},
	{"MIT", parsePhrase(`permission is hereby granted free of charge to any person obtaining a copy of this software and associated documentation files the software
		to deal in the software without restriction including without limitation the rights to use copy modify merge publish distribute sublicense and or sell
		copies of the software and to permit persons to whom the software is furnished to do so subject to the following conditions
		the above copyright notice and this permission notice including? the? next? paragraph? shall be included in all copies or substantial portions of the software ` +
		noWarranty), nil, ""},
	{"BSD-3-Clause", parsePhrase(redistribution + " and? neither the name/names of … may be used " + endorsement + disclaimer), nil, ""},
	{"BSD-3-Clause", parsePhrase(redistribution + " and? the name/names of … may not be used " + endorsement + disclaimer), nil, ""},
	{"BSD-2-Clause", parsePhrase(redistribution + " " + disclaimer), nil, ""},
	{"ISC", parsePhrase(anyPurpose + " provided that the above copyright notice and this permission notice appear in all copies " + authorDisclaims), nil, ""},
	{"0BSD", parsePhrase(anyPurpose + " " + authorDisclaims), nil, ""},
	{"Unlicense", parsePhrase(`this is free and unencumbered software released into the public domain
		anyone is free to copy modify publish use compile sell or distribute this software either in source code form or as a compiled binary
		for any purpose commercial or noncommercial and by any means
		in jurisdictions that recognize copyright laws the author or authors of this software dedicate any and all copyright interest in the software to the public domain
		we make this dedication for the benefit of the public at large and to the detriment of our heirs and successors
		we intend this dedication to be an overt act of relinquishment in perpetuity of all present and future rights to this software under copyright law ` +
		noWarranty + " for more information please refer to http unlicense org"), nil, ""},
}

// Parts that several licences share.
const (
	noWarranty = `the software is provided as is without warranty of any kind express or implied
		including but not limited to the warranties of merchantability fitness for a particular purpose and noninfringement
		in no event shall … be liable for any claim damages or other liability whether in an action of contract tort or otherwise
		arising from out of or in connection with the software or the use or other dealings in the software`
	redistribution = `redistribution and use in source and binary forms with or without modification are permitted provided that the following conditions are met
		redistributions of source code must retain the above copyright notice this list of conditions and the following disclaimer
		redistributions in binary form must reproduce the above copyright notice this list of conditions and the following disclaimer
		in the documentation and or other materials provided with the distribution`
	endorsement = "to endorse or promote products derived from this software without specific? prior written permission "
	disclaimer  = `this software is provided by … as is and any express or implied warranties
		including but not limited to the implied warranties of merchantability and fitness for a particular purpose are disclaimed
		in no event shall … be liable for any direct indirect incidental special exemplary or consequential damages
		including but not limited to procurement of substitute goods or services loss of use data or profits or business interruption
		however caused and on any theory of liability whether in contract strict liability or tort including negligence or otherwise
		arising in any way out of the use of this software even if advised of the possibility of such damage`
	anyPurpose      = "permission to use copy modify and or? distribute this software for any purpose with or without fee is hereby granted"
	authorDisclaims = `the software is provided as is and … disclaim/disclaims all warranties with regard to this software
		including all implied warranties of merchantability and fitness
		in no event shall … be liable for any special direct indirect or consequential damages or any damages whatsoever
		resulting from loss of use data or profits whether in an action of contract negligence or other tortious action
		arising out of or in connection with the use or performance of this software`
)

// remarks are what a licence file may hold besides: titles, addresses, the
// advice that comes with the Apache licence. Longer ones first.
var remarks = []phrase{
	parsePhrase("apache license version 2 0 january 2004 http? www? apache? org? licenses?"),
	parsePhrase("end of terms and conditions"),
	parsePhrase(`appendix how to apply the apache license to your work
		to apply the apache license to your work attach the following boilerplate notice with the fields enclosed by brackets replaced with your own identifying information
		dont include the brackets the text should be enclosed in the appropriate comment syntax for the file format
		we also recommend that a file or class name and description of purpose be included on the same printed page as the copyright notice for easier identification within thirdparty archives`),
	parsePhrase("mozilla public license version 2 0"),
	parsePhrase("the? mit license/licence mit?"),
	parsePhrase("the? bsd 2/3 clause license/licence"),
	parsePhrase("the? new/modified/revised/simplified/2clause/3clause? bsd 2clause/3clause? license/licence"),
	parsePhrase("the? isc license/licence"),
	parsePhrase("http www opensource org licenses mitlicense php"),
	parsePhrase("the? authors? all rights reserved"),
}
