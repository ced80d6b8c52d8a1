// What this program is: for `goleapai-ws version`, GET /version and the log.

import CVersion

/// Names of the build.
public enum Version {
    public static let name = "goleapai-ws"
    /// Semantic version; debian/changelog and CHANGELOG.md follow it.
    public static let number = "0.1.0"
    /// Hash of the commit, or `unknown`.
    public static var commit: String { String(cString: cversion_commit()) }
    /// The compiler's version. The language offers it to conditions only, hence the ladder.
    public static var swift: String {
        #if compiler(>=6.4)
            "6.4 or later"
        #elseif compiler(>=6.3)
            "6.3"
        #elseif compiler(>=6.2)
            "6.2"
        #else
            "before 6.2"
        #endif
    }
}
