namespace Forengate.Guests;

/// <summary>Guests whose memory the processor encrypts against the host: there is nothing to read for us.</summary>
internal static class Confidential
{
    /// <exception cref="GuestException">The guest is encrypted.</exception>
    public static void Refuse(IGuestMonitor monitor, CancellationToken ct)
    {
        if (Technology(monitor, ct) is { } technology)
        {
            throw new GuestException(
                GuestFailure.Encrypted,
                $"{monitor.Name}: guest memory is encrypted by the processor ({technology}), the host sees only ciphertext; make the dump inside the guest");
        }
    }

    internal static string? Technology(IGuestMonitor monitor, CancellationToken ct)
    {
        var support = monitor.QomText("/machine", "confidential-guest-support", ct);
        if (string.IsNullOrEmpty(support))
            support = monitor.QomText("/machine", "memory-encryption", ct) is { Length: > 0 } id ? "/objects/" + id : null;
        if (support is not null)
        {
            var type = monitor.QomText(support, "type", ct) ?? "";
            return type switch
            {
                "sev-guest" => "AMD SEV",
                "sev-snp-guest" => "AMD SEV-SNP",
                "tdx-guest" => "Intel TDX",
                _ => type.Length > 0 ? type : support,
            };
        }
        return monitor.TryQmp("query-sev", null, ct)?.Truth("enabled") == true ? "AMD SEV" : null;
    }
}
