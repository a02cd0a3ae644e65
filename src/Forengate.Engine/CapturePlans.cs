using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>Says how a live guest's memory would be taken, and why, and changes nothing.</summary>
public static class CapturePlans
{
    /// <summary>The plan of a capture of all memory, as <c>dump</c> and <c>convert</c> make it.</summary>
    /// <param name="target"><c>libvirt:NAME</c> or <c>qmp:SOCKET</c>.</param>
    /// <param name="options">What else the user said of it.</param>
    /// <param name="cancellation">Ends the asking.</param>
    /// <param name="output">Path of what would be written; null where that is not known.</param>
    /// <exception cref="GuestException">The target is no live guest, or it can't be seen.</exception>
    public static CapturePlan Of(string target, TargetOptions options, CancellationToken cancellation, string? output = null) => GuestTarget.TryParse(target, out var guest)
        ? LiveCapture.Plan(guest, Examination.CaptureOptions(options, CaptureMode.Auto, output), cancellation)
        : throw new GuestException(GuestFailure.NotFound, $"'{target}' is no live guest, so there is nothing to plan: --plan is for libvirt:NAME and qmp:SOCKET");
}
