// Certificates and keys as they come: what is wrong with them, said to the operator.

import Base
import TestSupport
import Testing

@testable import Host

@Suite struct TLSContextTests {
    private let files: TestCertificates
    private let good: (certificate: String, key: String)

    init() throws {
        files = try TestCertificates()
        good = try files.make("good")
    }

    private func complaint(_ certificate: String, _ key: String, clientCA: String = "") -> String? {
        var settings = Settings.TLS()
        (settings.certificate, settings.key, settings.clientCA) = (certificate, key, clientCA)
        do throws(TLSFileError) {
            _ = try TLSContext(settings, tickets: TLSTickets())
            return nil
        } catch {
            return error.description.replacing(files.path, with: "DIR")
        }
    }

    @Test(arguments: ["EC -pkeyopt ec_paramgen_curve:P-384", "RSA -pkeyopt rsa_keygen_bits:2048", "ED25519"])
    func kindsOfKeys(key: String) throws {
        let pair = try files.make("other", key: key)
        #expect(complaint(pair.certificate, pair.key) == nil)
    }

    @Test func oneFileForBoth() throws {
        let both = try files.write("both.pem", try files.read(good.key) + files.read(good.certificate))
        #expect(complaint(both, both) == nil)
    }

    @Test func whatIsWrong() throws {
        let other = try files.make("other")
        let weak = try files.make("weak", key: "RSA -pkeyopt rsa_keygen_bits:1024")
        let empty = try files.write("empty", "")
        let damaged = try files.write("damaged", try files.read(good.certificate).replacing("MI", with: "??"))
        let chain = try files.write("chain", try files.read(other.certificate) + files.read(good.certificate))
        try files.run("openssl pkey -in \(good.key) -aes256 -passout pass:secret -out \(files.path)/locked")
        let locked = "\(files.path)/locked"
        #expect(complaint("", good.key) == "server.tls.cert: is empty; server.tls.enabled: true needs the path of a PEM file here")
        #expect(complaint(good.certificate, "") == "server.tls.key: is empty; server.tls.enabled: true needs the path of a PEM file here")
        #expect(
            complaint("\(files.path)/none", good.key)
                == #"server.tls.cert: "DIR/none" cannot be read: No such file or directory; name a PEM file that the daemon's user can read"#)
        #expect(
            complaint(files.path, good.key)
                == #"server.tls.cert: "DIR" cannot be read: Is a directory; name a PEM file that the daemon's user can read"#)
        #expect(complaint(empty, good.key) == #"server.tls.cert: "DIR/empty" holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"#)
        #expect(complaint(good.key, good.key) == #"server.tls.cert: "DIR/good.key" holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"#)
        #expect(complaint(damaged, good.key)?.hasPrefix(#"server.tls.cert: "DIR/damaged" holds a damaged certificate (bad base64 decode"#) == true)
        #expect(
            complaint(good.certificate, good.certificate)
                == #"server.tls.key: "DIR/good.crt" holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)"#)
        #expect(
            complaint(good.certificate, other.key)
                == #"server.tls.key: "DIR/other.key" does not fit the certificate in "DIR/good.crt" (server.tls.cert); name the key that the certificate was made for"#)
        #expect(
            complaint(chain, good.key)
                == #"server.tls.key: "DIR/good.key" belongs to a certificate of "DIR/chain" that is not the first there; the server's own certificate must come first"#)
        #expect(complaint(good.certificate, locked)?.contains("is locked by a pass phrase") == true)
        #expect(complaint(weak.certificate, weak.key)?.contains("ee key too small; a key of 2048 bits") == true)
        #expect(complaint(good.certificate, good.key, clientCA: empty)?.hasPrefix(#"server.tls.client_ca: "DIR/empty" holds no certificate"#) == true)
        #expect(complaint(good.certificate, good.key, clientCA: other.certificate) == nil)
    }

    @Test func days() {
        let end = Instant(milliseconds: 1_000 * 86_400_000)
        let certificate = TLSContext.Certificate(name: "x", notBefore: Instant(milliseconds: 900 * 86_400_000), notAfter: end)
        for (offset, days) in [(-86_400_000, 1), (-86_399_999, 0), (-1, 0), (0, 0), (1, -1), (86_400_000, -1), (86_400_001, -2)] as [(Int64, Int)] {
            #expect(certificate.daysLeft(at: end.advanced(byMilliseconds: offset)) == days)
        }
        #expect(certificate.fault(at: end.advanced(byMilliseconds: -1)) == nil)
        #expect(certificate.fault(at: end)?.hasPrefix("has expired on 1972-09-27T00:00:00.000Z") == true)
        #expect(certificate.fault(at: Instant(milliseconds: 0))?.hasPrefix("is valid only from 1972-06-19T") == true)
    }

    @Test func settings() throws {
        let text = "server: {port: 8443, tls: {enabled: true, port: 8443, cert: '\(good.certificate)', key: '\(good.key)'}}"
        #expect(throws: ConfigErrors.self) { try Settings.load(text: Array(text.utf8), named: "f.yaml") }
        let apart = text.replacing("port: 8443, tls", with: "port: 8080, tls")
        #expect(try Settings.load(text: Array(apart.utf8), named: "f.yaml").warnings == [])
        let unreadable = apart.replacing(good.key, with: "/nowhere")
        #expect(throws: ConfigErrors.self) { try Settings.load(text: Array(unreadable.utf8), named: "f.yaml") }
        #expect(try Settings.load(text: Array(unreadable.utf8), named: "f.yaml", readsCertificates: false).settings.server.tls.key == "/nowhere")
        let old = try files.make("old", days: -1)
        let expired = apart.replacing(good.certificate, with: old.certificate).replacing(good.key, with: old.key)
        let warnings = try Settings.load(text: Array(expired.utf8), named: "f.yaml").warnings
        #expect(warnings.count == 1 && warnings[0].description.contains("f.yaml:1: server.tls.cert: ") && warnings[0].message.contains("has expired on"))
    }

    @Test(arguments: [
        ([], TLSHello.incomplete), ([22], .incomplete), ([22, 3, 1], .incomplete), ([22, 3, 1, 0, 2, 1], .incomplete), ([22, 3, 1, 0, 2, 1, 0], .whole),
        ([22, 3, 3, 0, 0], .whole), ([22, 2], .garbage), ([71, 69, 84], .request), ([128, 46, 1], .garbage), ([103], .garbage),
        ([22, 3, 1, 255, 255] + [UInt8](repeating: 0, count: 16_384), .whole), ([22, 3, 1, 255, 255] + [UInt8](repeating: 0, count: 16_383), .incomplete),
    ] as [([UInt8], TLSHello)])
    func hello(bytes: [UInt8], verdict: TLSHello) { #expect(bytes.withUnsafeBytes { TLSHello.judge($0) } == verdict) }
}
