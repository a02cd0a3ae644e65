namespace Forengate.Engine;

/// <summary>Passes reports on from the thread that makes them; <see cref="Progress{T}"/> would post them to another and let them come late.</summary>
internal sealed class SynchronousProgress<T>(Action<T> report) : IProgress<T>
{
    public void Report(T value) => report(value);
}
