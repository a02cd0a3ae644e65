namespace Forengate.Memory.Tests.Qemu;

/// <summary>
/// <see cref="LongModeStub"/> that goes on: its boot processor counts up two words in each of the 512 pages from 4 GiB on, for ever. It loads CR3 each time round: QEMU's TCG before 9
/// logs a page's next write only after the translation of its address was thrown away.
/// </summary>
internal static class WriterStub
{
    /// <summary>mov eax,1; 1: mov ebx,0x800000 (mapped to 4 GiB); 2: inc qword [rbx+16]; add [rbx+0x800],rax; add ebx,0x1000; cmp ebx,0xA00000; jne 2; inc rax; CR3 again; jmp 1.</summary>
    private const string CodeHex = "b801000000bb0000800048ff43104801830008000081c30010000081fb0000a00075e748ffc00f20da0f22daebd7";

    /// <summary>What is loaded from <see cref="LongModeStub.Code"/> on.</summary>
    public static byte[] Image() => SecondStage.Append(Convert.FromHexString(CodeHex));
}
