using Forengate.Lab.Machine;

namespace Forengate.Lab.Image;

/// <summary>Guest code that does nothing: for images that are looked at and never run.</summary>
internal static class HaltingCode
{
    public static GuestCodeImage Assemble(GuestCodeAddresses at)
    {
        byte[] loop = [0xEB, 0xFE];
        return new GuestCodeImage(loop, loop, loop, loop, at.KernelLoop, at.UserLoop, at.SystemCallEntry);
    }
}
