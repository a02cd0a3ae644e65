using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Testing.Referee;
using L = Forengate.Memory.CrashDumpLayout64;

namespace Forengate.Dumps.Tests;

public sealed class EngineParityTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Explore()
    {
        DebuggerEngine.SkipUnlessAccepted();
        var guest = new HandMadeGuest(2);
        var path = _folder["good.dmp"];
        DumpWriter.Write(DumpPlan.For(guest.Facts(), DumpOptions.Default), path);
        var verdict = DebuggerEngine.Judge(path);
        Console.WriteLine(verdict.Everything);
        Console.WriteLine("COMPLAINTS " + string.Join('\n', verdict.Complaints));
    }
}
