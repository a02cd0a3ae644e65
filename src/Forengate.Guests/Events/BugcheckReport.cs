namespace Forengate.Guests;

/// <summary>
/// A bugcheck as the guest reported it to its hypervisor: the five Hyper-V crash registers (HV_X64_MSR_CRASH_P0 to P4), which QEMU hands on in GUEST_PANICKED's info of type "hyper-v"
/// (qapi/run-state.json, GuestPanicInformationHyperV: arg1 is the stop code, arg2 to arg5 are its parameters). pvpanic reports no code.
/// </summary>
/// <param name="StopCode">The bugcheck's code (0xD1 …).</param>
/// <param name="Parameter1">First parameter.</param>
/// <param name="Parameter2">Second parameter.</param>
/// <param name="Parameter3">Third parameter.</param>
/// <param name="Parameter4">Fourth parameter.</param>
/// <param name="Origin">How we know, for people.</param>
public sealed record BugcheckReport(uint StopCode, ulong Parameter1, ulong Parameter2, ulong Parameter3, ulong Parameter4, string Origin)
{
    /// <summary>As a debugger writes it: code and parameters in hexadecimal.</summary>
    public override string ToString() =>
        string.Create(null, $"0x{StopCode:X} (0x{Parameter1:X}, 0x{Parameter2:X}, 0x{Parameter3:X}, 0x{Parameter4:X})");
}
