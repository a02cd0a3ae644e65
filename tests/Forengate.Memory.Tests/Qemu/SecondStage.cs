namespace Forengate.Memory.Tests.Qemu;

/// <summary>Code that runs where <see cref="LongModeStub"/> would halt.</summary>
internal static class SecondStage
{
    public const ulong Address = 0x9000;

    /// <summary>The stub's image with the code in it, and a jump to it.</summary>
    public static byte[] Append(byte[] code)
    {
        var image = LongModeStub.Image();
        // hlt; jmp to it; nop of four bytes: the end of the first stage.
        ReadOnlySpan<byte> end = [0xF4, 0xEB, 0xFD, 0x0F, 0x1F, 0x40, 0x00];
        var at = image.AsSpan().IndexOf(end);
        image[at] = 0xE9;
        BitConverter.TryWriteBytes(image.AsSpan(at + 1), (int)(Address - LongModeStub.Code) - (at + 5));
        code.CopyTo(image, (int)(Address - LongModeStub.Code));
        return image;
    }
}
