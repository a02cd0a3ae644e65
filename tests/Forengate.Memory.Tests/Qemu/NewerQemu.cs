using System.Diagnostics;
using Forengate.Testing;

namespace Forengate.Memory.Tests.Qemu;

/// <summary>Debian 13's QEMU in the root folder that <c>eng/newer</c> makes.</summary>
internal static class NewerQemu
{
    /// <summary>The program, and what stands before QEMU's own arguments.</summary>
    public static string[] Program => [Checkout.PathOf("eng/newer"), "run", "qemu-system-x86_64"];

    /// <summary>Why it can't be used here, in a line; null when it can.</summary>
    public static string? WhyNot()
    {
        using var check = Process.Start(new ProcessStartInfo(Checkout.PathOf("eng/newer"), "--check") { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var said = check.StandardOutput.ReadToEnd() + check.StandardError.ReadToEnd();
        check.WaitForExit();
        return check.ExitCode == 0 ? null : said.Trim();
    }
}
