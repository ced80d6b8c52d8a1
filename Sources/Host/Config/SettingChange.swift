// What differs between two configurations: what a reload has to tell and to do.

/// One key whose value has changed.
public struct SettingChange: Sendable, Equatable {
    public let key: String
    /// As in the file, without passwords; nil for secrets.
    public let before: String?
    public let after: String?
    /// Takes effect at the next start only.
    public let needsRestart: Bool

    /// `websocket.max_clients: 1000 -> 2000`
    public var text: String {
        // Equal where they differ in what is not shown.
        guard let before, let after, before != after else { return key }
        return "\(key): \(before) -> \(after)"
    }
}

extension Settings {
    /// Keys whose values differ, in the order of the table.
    public func changes(to other: Settings) -> [SettingChange] {
        Setting.all.compactMap { setting in
            let (before, after) = (setting.read(self), setting.read(other))
            if before == after { return nil }
            let texts = setting.isSecret ? (nil, nil) : (withoutPasswords(SampleConfig.yaml(before)), withoutPasswords(SampleConfig.yaml(after)))
            return SettingChange(key: setting.key, before: texts.0, after: texts.1, needsRestart: setting.needsRestart)
        }
    }

    /// These settings, but those that take a restart as they are in `running`.
    public func keepingWhatNeedsRestart(of running: Settings) -> Settings {
        var mixed = self
        for setting in Setting.all where setting.needsRestart { setting.write(&mixed, setting.read(running)) }
        return mixed
    }
}
